"""Reads files of clicks: NDJSON, CSV with a header, Parquet, web server logs (design section 6)."""

import hashlib
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final, Literal, get_args

import msgspec

from adtally import rowfiles
from adtally.errors import InvalidValueError, UsageError
from adtally.history.rows import ClickRow, click_row
from adtally.history.weblog import Skip, read_weblog

Format = Literal["ndjson", "csv", "parquet", "weblog"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
SUFFIXES: Final[dict[str, Format]] = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".parquet": "parquet",
    ".log": "weblog",
}

COLUMNS: Final = rowfiles.Columns(
    "a click", ("ts", "ad_id", "user_id", "impression_id", "user_agent", "ip", "referrer"), ("ts", "ad_id")
)

Rows = Generator[tuple[int, ClickRow | str | Skip], None, None]
"""A line number (in Parquet a row number), and the click, what is wrong with the row, or why it is no click."""


class FileIdentity(msgspec.Struct, frozen=True):
    """What follows from a file's bytes alone, and by what to see that they were changed since."""

    edge_id: str
    """Under which its clicks are numbered: the n-th row is number n, whenever and however often it is imported."""
    person_key: bytes
    """From another part of the hash, which is stored nowhere: whoever lacks the file cannot guess with it."""
    size_bytes: int
    modified_ns: int

    def still_fits(self, file: Path) -> bool:
        """Tell whether the file looks unchanged. Raises OSError."""
        stat = file.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.size_bytes, self.modified_ns)


def identify(file: Path) -> FileIdentity:
    """Read a file through once. Raises UsageError if it cannot be read."""
    try:
        stat = file.stat()
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "blake2b").digest()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None
    return FileIdentity(f"import-{digest.hex()[:16]}", digest[32:], stat.st_size, stat.st_mtime_ns)


def format_of(file: Path) -> Format:
    """Give the format that a file's name promises. Raises UsageError."""
    return rowfiles.format_of(file, SUFFIXES)


def read_rows(source: BinaryIO, file_format: Format, now_ms: int) -> Rows:
    """Read a file in bounded memory; times after `now_ms` are refused. Raises UsageError for a file of another kind.

    To be closed before `source`.
    """
    if file_format == "weblog":
        return read_weblog(source, now_ms)
    if file_format == "ndjson":
        return _read_ndjson(source, now_ms)
    read_texts = rowfiles.read_csv if file_format == "csv" else rowfiles.read_parquet
    return _from_texts(read_texts(source, COLUMNS), now_ms)


class _ClickLine(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A click in NDJSON: a misspelt key must not silently become a default."""

    ts: int | str
    ad_id: str
    user_id: str | None = None
    impression_id: str | None = None
    user_agent: str | None = None
    ip: str | None = None
    referrer: str | None = None


_decode_line: Final = msgspec.json.Decoder(_ClickLine).decode


def _read_ndjson(source: BinaryIO, now_ms: int) -> Rows:
    with closing(rowfiles.read_lines(source)) as lines:
        for line, content in lines:
            if isinstance(content, str):
                yield line, content
                continue
            try:
                found = _decode_line(content)
                yield (
                    line,
                    click_row(
                        found.ts,
                        found.ad_id,
                        found.user_id,
                        found.impression_id,
                        found.user_agent,
                        found.ip,
                        found.referrer,
                        now_ms,
                    ),
                )
            except InvalidValueError as error:
                yield line, str(error)
            except (msgspec.MsgspecError, UnicodeError) as error:
                yield line, f"no click: {error}"


def _from_texts(rows: rowfiles.TextRows, now_ms: int) -> Rows:
    with closing(rows):
        for line, values in rows:
            if isinstance(values, str):
                yield line, values
                continue
            ts, ad_id, user_id, impression_id, user_agent, ip, referrer = values
            try:
                yield line, click_row(ts, ad_id, user_id, impression_id, user_agent, ip, referrer, now_ms)
            except InvalidValueError as error:
                yield line, str(error)
            except UnicodeError as error:
                yield line, f"no click: {error}"
