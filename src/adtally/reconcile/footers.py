"""Looks at the lake's files before they are counted: are they there, whole, and what they claim to be?

The engine checks the checksum of each page that it reads, but believes a file's footer, which has none: a flipped byte
there can hide rows or a column. So each footer must agree with itself and with the lake's columns, and nobody prunes by
its statistics.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from adtally.errors import LakeDamagedError, LakeFileGoneError
from adtally.lake.columns import EVENT_COLUMNS
from adtally.reconcile.locations import Locations
from adtally.reconcile.port import RecountJob
from adtally.utc import HOUR_MS

_PHYSICAL: Final = {pa.string(): "BYTE_ARRAY", pa.int64(): "INT64", pa.int16(): "INT32"}
_HOUR: Final = re.compile(r"date=(\d{4}-\d{2}-\d{2})/hour=(\d{2})/[^/]*$")


class SourceFile(msgspec.Struct, frozen=True):
    """A file of raw events; `hour_ms` is None where its name does not tell the hour."""

    path: str
    rows: int
    hour_ms: int | None

    def touches(self, start_ms: int, end_ms: int) -> bool:
        """Tell whether it may hold events of [start_ms, end_ms)."""
        return self.hour_ms is None or (self.hour_ms < end_ms and start_ms < self.hour_ms + HOUR_MS)


def inspect(paths: Sequence[str], locations: Locations) -> list[SourceFile]:
    """Look at each file's footer. Raises LakeFileGoneError, LakeDamagedError that names the file, LakeError."""
    return [SourceFile(path, _rows(path, locations), _hour_ms(path)) for path in paths]


def verify(path: str, locations: Locations) -> None:
    """Read a file whole, every page's checksum included. Raises LakeFileGoneError, LakeDamagedError, LakeError."""
    _rows(path, locations)
    try:
        with pq.ParquetFile(locations.opened(path), page_checksum_verification=True) as file:
            for group in range(file.metadata.num_row_groups):
                file.read_row_group(group)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _translated(path, error) from error


def rows_of(sources: Sequence[SourceFile], from_ms: int, end_ms: int) -> int:
    """Estimate how many events of [from_ms, end_ms) there are."""
    rows = 0
    for source in sources:
        if source.hour_ms is None:
            rows += source.rows
        elif source.touches(from_ms, end_ms):
            inside_ms = min(end_ms, source.hour_ms + HOUR_MS) - max(from_ms, source.hour_ms)
            rows += -(-source.rows * inside_ms // HOUR_MS)
    return rows


def chunks(sources: Sequence[SourceFile], job: RecountJob, rows_max: int) -> Iterator[tuple[int, int]]:
    """Give adjoining spans of whole hours, each of as many hours as can be folded at once, at least one.

    A fold holds up to `rows_max` rows, its look-back included.
    """
    window_ms = job.rules.dedup_window_ms
    start_ms = job.start_ms
    while start_ms < job.end_ms:
        end_ms = start_ms + HOUR_MS
        while end_ms < job.end_ms and rows_of(sources, start_ms - window_ms, end_ms + HOUR_MS) <= rows_max:
            end_ms += HOUR_MS
        yield start_ms, end_ms
        start_ms = end_ms


def _rows(path: str, locations: Locations) -> int:
    try:
        with pq.ParquetFile(locations.opened(path)) as file:
            metadata, schema = file.metadata, file.schema
            rows = 0
            for index in range(metadata.num_row_groups):
                group = metadata.row_group(index)
                rows += group.num_rows
                if any(group.column(n).num_values != group.num_rows for n in range(group.num_columns)):
                    raise LakeDamagedError(path, "columns of different lengths")
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _translated(path, error) from error
    if rows != metadata.num_rows:
        raise LakeDamagedError(path, f"its footer speaks of {metadata.num_rows} rows and of {rows}")
    found = {column.name: column.physical_type for column in map(schema.column, range(len(schema)))}
    for field in EVENT_COLUMNS:
        wanted = _PHYSICAL[field.type]
        if found.get(field.name) != wanted:
            raise LakeDamagedError(path, f"its column {field.name} is {found.get(field.name)}, not {wanted}")
    return rows


def _hour_ms(path: str) -> int | None:
    found = _HOUR.search(path)
    if found is None:
        return None
    day, hour = datetime.fromisoformat(found[1]).replace(tzinfo=UTC), int(found[2])
    return int(day.timestamp()) * 1000 + hour * HOUR_MS


def _translated(path: str, error: Exception) -> LakeFileGoneError | LakeDamagedError:
    if isinstance(error, FileNotFoundError):
        return LakeFileGoneError(f"{path}: the lake has no such file now; list its files again")
    return LakeDamagedError(path, str(error).splitlines()[0] if str(error) else type(error).__name__)
