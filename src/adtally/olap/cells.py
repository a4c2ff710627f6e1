"""How the tables cut time, all in UTC: into cells, spans and partitions.

Rows have the start of a cell as their time. A span is what is published and told of as one. A partition is one part on
disk: reading a part costs the same for few rows as for many, so that partitions are longer than what is published.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from adtally.olap.port import Grain, Table
from adtally.utc import DAY_MS, HOUR_MS, month_after, month_of

MINUTE_MS: Final = 60_000

_CELL_MS: Final[Mapping[Table, int]] = {
    "live": MINUTE_MS,
    "minute": MINUTE_MS,
    "quarter_hour": 15 * MINUTE_MS,
    "day": DAY_MS,
}
_SPAN_MS: Final[Mapping[Grain, int]] = {"minute": HOUR_MS, "quarter_hour": DAY_MS, "day": DAY_MS}
_PARTITION_MS: Final[Mapping[Table, int]] = {
    "live": HOUR_MS,
    "minute": 6 * HOUR_MS,
    "quarter_hour": DAY_MS,
    "day": 7 * DAY_MS,
}
_MONDAY_MS: Final = 4 * DAY_MS
"""The first one: weeks begin on Mondays, and the epoch on a Thursday."""


def begins_cell(table: Table, ts_ms: int) -> bool:
    """Tell whether a cell of the table begins at `ts_ms`."""
    if table == "month":
        return ts_ms % DAY_MS == 0 and datetime.fromtimestamp(ts_ms // 1000, UTC).day == 1
    return ts_ms % _CELL_MS[table] == 0


def span_after(grain: Grain, ts_ms: int) -> int:
    """Give the start of the final table's first span that begins at `ts_ms` or later."""
    if grain == "month":
        month_ms = month_of(ts_ms)
        return month_ms if month_ms == ts_ms else month_after(month_ms)
    return -(-ts_ms // _SPAN_MS[grain]) * _SPAN_MS[grain]


def partition_of(table: Table, ts_ms: int) -> int:
    """Give the start of the table's partition that holds `ts_ms`."""
    if table == "month":
        return month_of(ts_ms)
    first_ms = _MONDAY_MS if table == "day" else 0
    return ts_ms - (ts_ms - first_ms) % _PARTITION_MS[table]


def partition_end(table: Table, start_ms: int) -> int:
    """Give the end of the table's partition that begins at `start_ms`."""
    return month_after(start_ms) if table == "month" else start_ms + _PARTITION_MS[table]
