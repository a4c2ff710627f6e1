"""Hours, days and months in UTC, by which lake, tables and ledger are cut. Pure; times are epoch milliseconds."""

from datetime import UTC, datetime
from typing import Final

from adtally.counting import MINUTE_MS

HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

FOREVER_MS: Final = 1 << 53
"""Later than any time that anybody writes down."""


def hour_of(ts_ms: int) -> int:
    """Give the start of the hour that `ts_ms` lies in."""
    return ts_ms - ts_ms % HOUR_MS


def day_of(ts_ms: int) -> int:
    """Give the start of the day that `ts_ms` lies in."""
    return ts_ms - ts_ms % DAY_MS


def month_of(ts_ms: int) -> int:
    """Give the start of the month that `ts_ms` lies in."""
    at = datetime.fromtimestamp(ts_ms // 1000, UTC)
    return int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp()) * 1000


def month_after(month_ms: int) -> int:
    """Give the start of the month behind the one that starts at `month_ms`."""
    return month_of(month_ms + 31 * DAY_MS)
