"""What every OLAP store promises about answers from several tables (olap/port.py)."""

from pathlib import Path

import pytest

from adtally.errors import InvalidValueError
from adtally.olap.port import EVERYONE, AggregateQuery, Source
from support.olap_stores import HOUR_MS, MINUTE_S, NOON_S, Live, Store, groups, live, publish, total

NOON_MS = NOON_S * 1000
DAY_MS = 24 * HOUR_MS
TODAY_MS = NOON_MS - 12 * HOUR_MS
"""2026-11-27"""
MONTH_MS = TODAY_MS - 26 * DAY_MS
OCTOBER_MS = MONTH_MS - 31 * DAY_MS
SOURCES = (
    Source("month", OCTOBER_MS, MONTH_MS),
    Source("day", MONTH_MS, TODAY_MS),
    Source("quarter_hour", TODAY_MS, NOON_MS - HOUR_MS),
    Source("minute", NOON_MS - HOUR_MS, NOON_MS),
    Source("live", NOON_MS, NOON_MS + HOUR_MS),
)
RANGE = (OCTOBER_MS, NOON_MS + HOUR_MS)


def fill(store: Store, folder: Path) -> None:
    """Put a cell of one advertiser into each table, and in every other place something that must not be read."""
    for n, time_ms in enumerate([OCTOBER_MS + HOUR_MS, MONTH_MS + HOUR_MS, TODAY_MS + HOUR_MS, NOON_MS - HOUR_MS]):
        row = Live(10**n, ["same", f"u{n}"], minute_s=time_ms // 1000 + MINUTE_S)
        publish(store, folder, time_ms, row, row._replace(advertiser_id="umbra", users=["other"]))
    for day_ms in (OCTOBER_MS, MONTH_MS, TODAY_MS):
        store.publish_day(day_ms)
    for month_ms in (OCTOBER_MS, MONTH_MS):
        store.publish_month(month_ms)
    final_already = Live(500_000, ["dropped"], minute_s=NOON_S - MINUTE_S)
    store.append_live(live(Live(10_000, ["same", "u4"], shard="0"), Live(20_000, ["u5"], shard="1"), final_already))


def test_each_table_answers_for_its_part_and_users_are_united_over_all(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    assert total(store, edges_ms=RANGE, sources=SOURCES, tenant="acme") == (31_111, 7)
    assert total(store, edges_ms=RANGE, sources=SOURCES, tenant="umbra") == (1_111, 1)
    assert total(store, edges_ms=RANGE, sources=SOURCES) == (32_222, 8)
    assert total(store, edges_ms=RANGE, sources=SOURCES, tenant="acme", devices=("tablet",)) == (0, 0)
    for source, clicks in zip(SOURCES, (1, 10, 100, 1_000, 30_000), strict=True):
        alone = (source.start_ms, source.end_ms)
        assert total(store, edges_ms=alone, sources=(source,), tenant="acme")[0] == clicks


def test_buckets_may_span_sources_and_sources_may_span_buckets(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    edges_ms = (OCTOBER_MS, MONTH_MS, MONTH_MS + DAY_MS, NOON_MS - 30 * 60_000, NOON_MS + HOUR_MS)
    found = groups(store, "bucket", "advertiser_id", edges_ms=edges_ms, sources=SOURCES)
    acme, umbra = (1, 10, 1_100, 30_000), (1, 10, 1_100)
    assert found == {(n, "acme"): clicks for n, clicks in enumerate(acme)} | {
        (n, "umbra"): clicks for n, clicks in enumerate(umbra)
    }


def test_even_buckets_of_one_table_are_those_of_the_rows(store: Store, tmp_path: Path) -> None:
    rows = [Live(n + 1, minute_s=NOON_S + n * MINUTE_S) for n in range(60)]
    publish(store, tmp_path, NOON_MS, *rows)
    minutes = tuple(NOON_MS + n * 60_000 for n in range(61))
    source = (Source("minute", NOON_MS, NOON_MS + HOUR_MS),)
    assert groups(store, "bucket", edges_ms=minutes, sources=source) == {(n,): n + 1 for n in range(60)}
    quarters, source = minutes[::15], (Source("quarter_hour", NOON_MS, NOON_MS + HOUR_MS),)
    expected = {(n,): sum(range(15 * n + 1, 15 * n + 16)) for n in range(4)}
    assert groups(store, "bucket", edges_ms=quarters, sources=source) == expected
    assert groups(store, "bucket", "ad_id", edges_ms=quarters, sources=source, order="clicks", limit=1) == {
        (3, "ad_1"): expected[(3,)]
    }


def test_many_users_are_estimated_alike_whatever_tables_they_lie_in(store: Store, tmp_path: Path) -> None:
    users = [f"user_{n}" for n in range(3_000)]
    publish(store, tmp_path, NOON_MS - HOUR_MS, Live(3_000, users[:2_000], minute_s=NOON_S - MINUTE_S))
    store.append_live(live(Live(3_000, users[1_000:])))
    sources = (Source("quarter_hour", NOON_MS - HOUR_MS, NOON_MS), Source("live", NOON_MS, NOON_MS + HOUR_MS))
    assert total(store, edges_ms=(NOON_MS - HOUR_MS, NOON_MS + HOUR_MS), sources=sources) == (6_000, 3_000)


WHOLE = Source("live", NOON_MS, NOON_MS + HOUR_MS)
HALF_MS = HOUR_MS // 2


@pytest.mark.parametrize(
    "sources",
    [
        (Source("live", NOON_MS, NOON_MS + HALF_MS),),
        (Source("live", NOON_MS + HALF_MS, NOON_MS + HOUR_MS),),
        (Source("live", NOON_MS - HALF_MS, NOON_MS + HOUR_MS),),
        (Source("live", NOON_MS, NOON_MS + 2 * HOUR_MS),),
        (WHOLE, WHOLE),
        (Source("live", NOON_MS, NOON_MS), WHOLE),
        (WHOLE, Source("live", NOON_MS + HOUR_MS, NOON_MS)),
        (Source("minute", NOON_MS, NOON_MS + HALF_MS), Source("live", NOON_MS + HALF_MS + 60_000, NOON_MS + HOUR_MS)),
        (Source("minute", NOON_MS, NOON_MS + HALF_MS), Source("live", NOON_MS + HALF_MS - 60_000, NOON_MS + HOUR_MS)),
        (Source("live", NOON_MS + HALF_MS, NOON_MS + HOUR_MS), Source("minute", NOON_MS, NOON_MS + HALF_MS)),
        (Source("quarter_hour", NOON_MS, NOON_MS + 60_000), Source("live", NOON_MS + 60_000, NOON_MS + HOUR_MS)),
        (Source("day", NOON_MS, NOON_MS + HOUR_MS),),
        (Source("month", NOON_MS, NOON_MS + HOUR_MS),),
    ],
)
def test_sources_that_do_not_fit_the_range_are_refused(store: Store, sources: tuple[Source, ...]) -> None:
    edges_ms = (NOON_MS, NOON_MS + HOUR_MS)
    store.aggregate(AggregateQuery(tenant=EVERYONE, edges_ms=edges_ms, sources=(WHOLE,)))
    with pytest.raises(InvalidValueError, match="sources"):
        store.aggregate(AggregateQuery(tenant=EVERYONE, edges_ms=edges_ms, sources=sources))


@pytest.mark.parametrize(
    ("table", "step_ms"),
    [("quarter_hour", 5 * 60_000), ("day", HOUR_MS), ("month", DAY_MS)],
)
def test_a_bucket_edge_inside_a_cell_is_refused(store: Store, table: str, step_ms: int) -> None:
    sources = (Source(table, OCTOBER_MS, MONTH_MS),)  # type: ignore[arg-type]
    store.aggregate(AggregateQuery(tenant=EVERYONE, edges_ms=(OCTOBER_MS, MONTH_MS), sources=sources))
    with pytest.raises(InvalidValueError, match="sources"):
        store.aggregate(
            AggregateQuery(tenant=EVERYONE, edges_ms=(OCTOBER_MS, OCTOBER_MS + step_ms, MONTH_MS), sources=sources)
        )


def test_final_minutes_are_read_for_bounds_between_minutes_by_their_starts(store: Store, tmp_path: Path) -> None:
    publish(store, tmp_path, NOON_MS, *(Live(1 << n, minute_s=NOON_S + n * MINUTE_S) for n in range(4)))
    edges_ms = (NOON_MS + 1, NOON_MS + 60_001, NOON_MS + 180_000)
    sources = (Source("minute", *edges_ms[:2]), Source("minute", *edges_ms[1:]))
    assert groups(store, "bucket", edges_ms=edges_ms, sources=sources) == {(0,): 2, (1,): 4}
