"""How the tables cut time, all in UTC: into cells, which are what rows have as time, and into partitions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from adtally.buckets import Granularity, bucket_end
from adtally.olap.port import Table
from adtally.utc import DAY_MS

MINUTE_MS: Final = 60_000

_CELL_MS: Final[Mapping[Table, int]] = {
    "live": MINUTE_MS,
    "minute": MINUTE_MS,
    "quarter_hour": 15 * MINUTE_MS,
    "day": DAY_MS,
}
_PARTITIONS: Final[Mapping[Table, Granularity]] = {
    "live": "hour",
    "minute": "hour",
    "quarter_hour": "day",
    "day": "day",
    "month": "month",
}
_UTC: Final = ZoneInfo("UTC")


def begins_cell(table: Table, ts_ms: int) -> bool:
    """Tell whether a cell of the table begins at `ts_ms`."""
    if table == "month":
        return ts_ms % DAY_MS == 0 and datetime.fromtimestamp(ts_ms // 1000, UTC).day == 1
    return ts_ms % _CELL_MS[table] == 0


def partition_end(table: Table, start_ms: int) -> int:
    """Give the end of the table's partition that begins at `start_ms`."""
    return bucket_end(start_ms, _PARTITIONS[table], _UTC)
