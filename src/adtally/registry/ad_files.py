"""Reads and writes files of ads: CSV with a header, NDJSON, Parquet (design section 6). Row by row, in bounded memory.

A row states a whole ad: what it leaves out gets its default. A row that cannot be read is given as its line number (for
Parquet its row number, from 1) and what is wrong with it, and the rest goes on.
"""

import csv
import io
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Literal, get_args

import msgspec

from adtally.errors import UsageError
from adtally.registry.port import Ad

Format = Literal["csv", "ndjson", "parquet"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

COLUMNS: Final = Ad.__struct_fields__
REQUIRED: Final = ("ad_id", "advertiser_id", "landing_url")
SUFFIXES: Final[dict[str, Format]] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}

LINE_BYTES_MAX: Final = 64 * 1024
"""Of an NDJSON line: several times what an ad with every field at its limit takes."""

BATCH_ROWS: Final = 10_000

Row = tuple[int, Ad | str]
"""A line number, and the ad (not yet checked against the rules) or what is wrong with the line."""

Rows = Generator[Row, None, None]
"""To be closed before the file that it reads."""


class _AdLine(Ad, frozen=True, forbid_unknown_fields=True):
    """An ad in a file: a misspelt key must not silently become a default."""


_decode_line: Final = msgspec.json.Decoder(_AdLine).decode


def format_of(file: Path) -> Format:
    """Give the format that a file's name promises. Raises UsageError."""
    found = SUFFIXES.get(file.suffix.lower())
    if found is None:
        raise UsageError(f"{file}: its name ends in none of {', '.join(SUFFIXES)}: say --format")
    return found


def read_csv(source: BinaryIO) -> Rows:
    """Read CSV (RFC 4180, UTF-8) whose first line names the columns. Raises UsageError for other columns than an ad's.

    A byte order mark, as spreadsheets write it, is skipped, and so are empty lines. Bytes that are no UTF-8 become
    surrogates, which the rules refuse.
    """
    text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        reader = csv.reader(text, strict=True)
        header = [name.strip() for name in next(reader, [])]
        _check_columns(header)
        # A column that is not there is read at index -1, behind the last field.
        order = [header.index(column) if column in header else -1 for column in COLUMNS]
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, _csv_reason(line, reader.line_num, error)
                continue
            if len(fields) == len(header):
                fields.append("")
                yield line, _ad([fields[index] for index in order])
            elif fields:
                yield line, f"has {len(fields)} fields, the header has {len(header)}"
    finally:
        text.detach()


def read_ndjson(source: BinaryIO) -> Rows:
    """Read one JSON object a line; empty lines are skipped."""
    line = 0
    while content := source.readline(LINE_BYTES_MAX):
        line += 1
        if len(content) == LINE_BYTES_MAX and not content.endswith(b"\n"):
            while (content := source.readline(LINE_BYTES_MAX)) and not content.endswith(b"\n"):
                pass
            yield line, f"is longer than {LINE_BYTES_MAX} bytes"
        elif content.strip():
            try:
                yield line, Ad(*msgspec.structs.astuple(_decode_line(content)))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                yield line, f"no ad: {error}"


def read_parquet(source: BinaryIO) -> Rows:
    """Read Parquet whose columns are an ad's, as text or anything that can be cast to it. Raises UsageError."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(source)
        present = list(table.schema_arrow.names)
        _check_columns(present)
        row = 0
        for batch in table.iter_batches(BATCH_ROWS):
            columns = [
                batch.column(present.index(name)).cast(pa.string()).to_pylist()
                if name in present
                else [""] * batch.num_rows
                for name in COLUMNS
            ]
            for values in zip(*columns, strict=True):
                row += 1
                yield row, _ad([value or "" for value in values])
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UsageError(f"no Parquet file of ads: {error}") from None


def write_csv(ads: Iterable[Ad], target: IO[str]) -> None:
    """Write ads as read_csv reads them."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(msgspec.structs.astuple(ad) for ad in ads)


def write_ndjson(ads: Iterable[Ad], target: IO[str]) -> None:
    """Write ads as read_ndjson reads them."""
    encode = msgspec.json.Encoder().encode
    target.writelines(encode(ad).decode() + "\n" for ad in ads)


def _ad(values: Sequence[Any]) -> Ad:
    ad_id, advertiser_id, landing_url, campaign_id, name, status = values
    return Ad(ad_id, advertiser_id, landing_url, campaign_id, name, status or "active")


def _check_columns(present: Sequence[str]) -> None:
    missing = [column for column in REQUIRED if column not in present]
    unknown = [repr(column) for column in present if column not in COLUMNS]
    twice = [repr(column) for column in COLUMNS if present.count(column) > 1]
    for what, names in (("lacks", missing), ("has the unknown", unknown), ("has twice", twice)):
        if names:
            raise UsageError(f"the header {what} {', '.join(names)}: the columns of an ad are {', '.join(COLUMNS)}")


def _csv_reason(first_line: int, last_line: int, error: csv.Error) -> str:
    through = f" (in lines {first_line} to {last_line}, one field by its quotes)" if last_line > first_line else ""
    return f"no CSV: {error}{through}"
