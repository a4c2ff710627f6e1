"""Reads and writes files of ads: CSV with a header, NDJSON, Parquet (design section 6). Row by row, in bounded memory.

A row states a whole ad: what it leaves out gets its default. A row that cannot be read is given as its line number (for
Parquet its row number, from 1) and what is wrong with it, and the rest goes on.
"""

import csv
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Literal, get_args

import msgspec

from adtally import rowfiles
from adtally.registry.port import Ad

Format = Literal["csv", "ndjson", "parquet"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

COLUMNS: Final = rowfiles.Columns("an ad", Ad.__struct_fields__, ("ad_id", "advertiser_id", "landing_url"))
SUFFIXES: Final[dict[str, Format]] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}

Row = tuple[int, Ad | str]
"""A line number, and the ad (not yet checked against the rules) or what is wrong with the line."""

Rows = Generator[Row, None, None]
"""To be closed before the file that it reads."""


class _AdLine(Ad, frozen=True, forbid_unknown_fields=True):
    """An ad in a file: a misspelt key must not silently become a default."""


_decode_line: Final = msgspec.json.Decoder(_AdLine).decode


def format_of(file: Path) -> Format:
    """Give the format that a file's name promises. Raises UsageError."""
    return rowfiles.format_of(file, SUFFIXES)


def read_csv(source: BinaryIO) -> Rows:
    """Read CSV, see rowfiles.read_csv; bytes that are no UTF-8 are refused by the rules. Raises UsageError."""
    yield from _ads(rowfiles.read_csv(source, COLUMNS))


def read_ndjson(source: BinaryIO) -> Rows:
    """Read one JSON object a line; empty lines are skipped."""
    with closing(rowfiles.read_lines(source)) as lines:
        for line, content in lines:
            if isinstance(content, str):
                yield line, content
                continue
            try:
                yield line, Ad(*msgspec.structs.astuple(_decode_line(content)))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                yield line, f"no ad: {error}"


def read_parquet(source: BinaryIO) -> Rows:
    """Read Parquet whose columns are an ad's, as text or anything that can be cast to it. Raises UsageError."""
    yield from _ads(rowfiles.read_parquet(source, COLUMNS))


def write_csv(ads: Iterable[Ad], target: IO[str]) -> None:
    """Write ads as read_csv reads them."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS.names)
    writer.writerows(msgspec.structs.astuple(ad) for ad in ads)


def write_ndjson(ads: Iterable[Ad], target: IO[str]) -> None:
    """Write ads as read_ndjson reads them."""
    encode = msgspec.json.Encoder().encode
    target.writelines(encode(ad).decode() + "\n" for ad in ads)


def _ads(rows: rowfiles.TextRows) -> Rows:
    with closing(rows):
        for line, values in rows:
            yield line, values if isinstance(values, str) else _ad(values)


def _ad(values: Sequence[Any]) -> Ad:
    ad_id, advertiser_id, landing_url, campaign_id, name, status = values
    return Ad(ad_id, advertiser_id, landing_url, campaign_id, name, status or "active")
