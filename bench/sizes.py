"""Cluster sizes: arithmetic on what was measured; `python -m bench.sizes` prints docs/scaling.md's table."""

from math import ceil
from typing import Final

import msgspec

RATES: Final = (10_000, 100_000, 1_000_000)
"""Clicks a second at the peak."""

USED: Final = 0.5
"""Of a core's time at the peak: the rest is to catch up, for a dead neighbour's share, and the unknown."""
DAY_CLICKS_PER_PEAK: Final = 10_000
"""A day's clicks for each click a second at the peak: the design has 100 million at 10,000/s."""
CORES: Final = 8
"""Of one broker's host."""

# CPU microseconds a click, as measured: docs/scaling.md says where.
EDGE_US: Final = 65.9
BROKERS_APPEND_US: Final = (24.3, 156.8)
"""With 2,000 clicks in an append, and with as few as an edge has in one at 7,000 a second."""
BROKERS_READ_US: Final = 1.4
CLIENT_READ_US: Final = 1.4
READERS: Final = 2
STREAM_US: Final = 1e6 / 595_911 + CLIENT_READ_US
FLINK_US: Final = 19.4
ARCHIVER_US: Final = 4.3
RECOUNT_US: Final = 17.4e6 / 10e6
LIVE_ROWS_PER_S: Final = 437_389
STAGED_ROWS_PER_S: Final = 198_369
PUBLISHED_ROWS_PER_S: Final = 354_923

EVENT_BYTES: Final = 311
REMEMBERED_BYTES: Final = 120e6 / 530_000
REMEMBERED_S: Final = 600
"""Window, lateness and three minutes, for which the job in Flink remembers a click."""
LAKE_BYTES: Final = (22.7, 50.0)
ROW_BYTES: Final = 46.0
EVENTS_PER_ROW: Final = 5.7
COPIES: Final = 3
LOG_DAYS: Final = 7
MINUTE_DAYS: Final = 35
SPOOL_BYTES: Final = 8 * 1024**3
SPOOLED_BYTES: Final = 420
"""A click in the spool, where an append has a hundred; one that is alone takes 4.8 KB."""
GB: Final = 1e9


class Size(msgspec.Struct, frozen=True):
    """A cluster for a peak of so many clicks a second. `_gb` are 10^9 bytes."""

    clicks_per_s: int
    clicks_per_day: int
    edges: int
    """Workers of one core each, one of them to spare."""
    broker_cores: tuple[float, float]
    brokers: int
    partitions: int
    streams: int
    """Processes of one core each, where stream/engine.py counts."""
    flink_slots: int
    """Of one core each, where Flink counts."""
    flink_state_gb: float
    archivers: int
    """Processes of one core each, that share the partitions."""
    clickhouse_live_shards: int
    """That live rows need if no two clicks of a second share a cell."""
    clickhouse_final_s: float
    """Of one server, to stage and publish the minutes of an hour at the peak."""
    recount_hour_s: float
    """Of two cores, for an hour at the peak."""
    log_mb_per_s: float
    log_gb: float
    lake_day_gb: tuple[float, float]
    lake_year_gb: tuple[float, float]
    minutes_day_gb: float
    minutes_gb: float
    spool_minutes: float
    """How long all edges together hold the peak without brokers."""


def size_for(clicks_per_s: int) -> Size:
    """Give the size for a peak rate. Every stage's share of a core is `USED`."""
    per_core_us = 1e6 * USED
    day = clicks_per_s * DAY_CLICKS_PER_PEAK
    edges = ceil(clicks_per_s * EDGE_US / per_core_us) + 1
    few_cores, many_cores = (
        clicks_per_s * (append_us + READERS * BROKERS_READ_US) / per_core_us for append_us in BROKERS_APPEND_US
    )
    slots = ceil(clicks_per_s * FLINK_US / per_core_us)
    rows_per_hour = clicks_per_s * 3_600 / EVENTS_PER_ROW
    lake_low, lake_high = (day * each / GB for each in LAKE_BYTES)
    minutes = day / EVENTS_PER_ROW * ROW_BYTES / GB
    return Size(
        clicks_per_s=clicks_per_s,
        clicks_per_day=day,
        edges=edges,
        broker_cores=(few_cores, many_cores),
        brokers=max(3, ceil(many_cores / CORES)),
        # Twice the slots, so that there is room without adding partitions; by the dozen, which many numbers divide.
        partitions=12 * ceil(2 * slots / 12),
        streams=ceil(clicks_per_s * STREAM_US / per_core_us),
        flink_slots=slots,
        flink_state_gb=clicks_per_s * REMEMBERED_S * REMEMBERED_BYTES / GB,
        archivers=ceil(clicks_per_s * ARCHIVER_US / per_core_us),
        clickhouse_live_shards=ceil(clicks_per_s / (LIVE_ROWS_PER_S * USED)),
        clickhouse_final_s=rows_per_hour * (1 / STAGED_ROWS_PER_S + 1 / PUBLISHED_ROWS_PER_S),
        recount_hour_s=clicks_per_s * 3_600 * RECOUNT_US / 1e6,
        log_mb_per_s=clicks_per_s * EVENT_BYTES / 1e6,
        log_gb=day * EVENT_BYTES * COPIES * LOG_DAYS / GB,
        lake_day_gb=(lake_low, lake_high),
        lake_year_gb=(365 * lake_low, 365 * lake_high),
        minutes_day_gb=minutes,
        minutes_gb=minutes * MINUTE_DAYS,
        spool_minutes=edges * SPOOL_BYTES / (clicks_per_s * SPOOLED_BYTES) / 60,
    )


def table(rates: tuple[int, ...] = RATES) -> list[str]:
    """Give the table of docs/scaling.md, line by line: a row for each thing, a column for each rate."""
    sizes = [size_for(rate) for rate in rates]
    rows = {
        "clicks a day": [f"{each.clicks_per_day / 1e6:,.0f} million" for each in sizes],
        "edge workers, one core each": [f"{each.edges}" for each in sizes],
        "brokers: cores in all; hosts of 8": [
            f"{each.broker_cores[0]:.1f} to {each.broker_cores[1]:.1f}; {each.brokers}" for each in sizes
        ],
        "log: into it, MB a second; 7 days in 3 copies": [
            f"{each.log_mb_per_s:,.1f}; {_amount(each.log_gb)}" for each in sizes
        ],
        "spools hold the peak without brokers": [f"{each.spool_minutes:.0f} min" for each in sizes],
        "streams by `stream/engine.py`": [f"{each.streams}" for each in sizes],
        "or Flink: slots; what it remembers": [
            f"{each.flink_slots}; {_amount(each.flink_state_gb)}" for each in sizes
        ],
        "partitions": [f"{each.partitions}" for each in sizes],
        "archivers": [f"{each.archivers}" for each in sizes],
        "ClickHouse shards for live rows": [f"{each.clickhouse_live_shards}" for each in sizes],
        "one server stages and publishes a peak hour in": [_time(each.clickhouse_final_s) for each in sizes],
        "two cores recount a peak hour in": [_time(each.recount_hour_s) for each in sizes],
        "lake, a day": [_range(each.lake_day_gb) for each in sizes],
        "lake, a year": [_range(each.lake_year_gb) for each in sizes],
        "final minutes: a day; 35 days": [
            f"{_amount(each.minutes_day_gb)}; {_amount(each.minutes_gb)}" for each in sizes
        ],
    }  # fmt: skip
    head = ["clicks a second at the peak", *(f"{rate:,}" for rate in rates)]
    return [_line(head), _line(["---"] * len(head)), *(_line([what, *cells]) for what, cells in rows.items())]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _amount(gb: float) -> str:
    return f"{gb / 1_000:,.1f} TB" if gb >= 1_000 else f"{gb:,.1f} GB"


def _range(gb: tuple[float, float]) -> str:
    return f"{_amount(gb[0])} to {_amount(gb[1])}"


def _time(seconds: float) -> str:
    return f"{seconds / 3_600:.1f} h" if seconds >= 3_600 else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    print("\n".join(table()))
