"""Rows on their way to the servers: a JSON object in each line, parted by shard."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from adtally.errors import StoreUnavailableError
from adtally.olap.clickhouse_sql import LIVE_COLUMNS
from adtally.olap.port import FINAL_COLUMNS, LiveRows
from adtally.olap.sharding import shard_of

_ROWS_MAX: Final = 50_000
"""Of one insert: few enough to be repeated soon, many enough for few parts."""
_FILE_ROWS_MAX: Final = 20_000
"""Of a file that are in memory at once, with their users."""

_TYPES: Final[Mapping[str, Any]] = {"minute": int, "minute_s": int, "clicks": int, "users": list[str]}


def _line_of(name: str, columns: Sequence[str]) -> Any:  # noqa: ANN401 - a class, whose fields are the columns
    return msgspec.defstruct(name, [(column, _TYPES.get(column, str)) for column in columns], gc=False)


_LiveLine: Final = _line_of("_LiveLine", LIVE_COLUMNS)
_FinalLine: Final = _line_of("_FinalLine", FINAL_COLUMNS)
_encode_lines: Final = msgspec.json.Encoder().encode_lines


def live_inserts(rows: LiveRows, shards: int) -> Iterator[tuple[int, bytes]]:
    """Give the inserts of live rows: a shard, and rows for it."""
    lines = map(_LiveLine, *msgspec.structs.astuple(rows))
    while batch := list(islice(lines, _ROWS_MAX)):
        for shard, own in _parted(batch, shards):
            yield shard, _encode_lines(own)


def file_inserts(files: Sequence[str], shards: int) -> Iterator[tuple[int, bytes]]:
    """Give the inserts of recounted minutes, from Parquet files of FINAL_COLUMNS: a shard, and rows for it.

    Raises StoreUnavailableError for a file that cannot be read.
    """
    waiting: dict[int, list[bytes]] = defaultdict(list)
    held: dict[int, int] = defaultdict(int)
    for lines in _file_lines(files):
        for shard, own in _parted(lines, shards):
            waiting[shard].append(_encode_lines(own))
            held[shard] += len(own)
            if held[shard] >= _ROWS_MAX:
                yield shard, b"".join(waiting.pop(shard))
                held[shard] = 0
    for shard, blocks in waiting.items():
        yield shard, b"".join(blocks)


def _file_lines(files: Sequence[str]) -> Iterator[list[Any]]:
    for name in files:
        try:
            with pq.ParquetFile(name) as file:
                for batch in file.iter_batches(_FILE_ROWS_MAX, columns=list(FINAL_COLUMNS)):
                    if batch.num_rows:
                        yield list(map(_FinalLine, *(batch.column(column).to_pylist() for column in FINAL_COLUMNS)))
        except (OSError, pa.ArrowException) as error:
            raise StoreUnavailableError(f"{name}: the recounted minutes cannot be read: {error}") from error


def _parted(lines: list[Any], shards: int) -> Iterator[tuple[int, list[Any]]]:
    if shards == 1:
        yield 0, lines
        return
    parts: dict[int, list[Any]] = defaultdict(list)
    places: dict[str, int] = {}
    for line in lines:
        advertiser_id = line.advertiser_id
        shard = places.get(advertiser_id)
        if shard is None:
            shard = places[advertiser_id] = shard_of(advertiser_id, shards)
        parts[shard].append(line)
    yield from parts.items()
