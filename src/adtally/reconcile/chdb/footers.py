"""Looks at the lake's files before they are counted: are they there, whole, and what they claim to be?

The engine checks the checksum of each page that it reads, but believes a file's footer, which has none: a flipped byte
there can hide rows or a column. So each footer must agree with itself and with the lake's columns, and nobody prunes by
its statistics.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from adtally.errors import LakeDamagedError, LakeFileGoneError
from adtally.lake.columns import EVENT_COLUMNS
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


def inspect(paths: Sequence[str]) -> list[SourceFile]:
    """Look at each file's footer. Raises LakeFileGoneError, LakeDamagedError that names the file."""
    return [SourceFile(path, _rows(path), _hour_ms(path)) for path in paths]


def verify(path: str) -> None:
    """Read a file whole, every page's checksum included. Raises LakeFileGoneError, LakeDamagedError."""
    _rows(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.metadata.num_row_groups):
                file.read_row_group(group)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _translated(path, error) from error


def _rows(path: str) -> int:
    try:
        with pq.ParquetFile(path) as file:
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
