"""Finality and the choice of tables, against an oracle that asks about each minute by itself."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from adtally.buckets import buckets
from adtally.counting import MINUTE_MS
from adtally.ledger.port import LineSummary
from adtally.olap.port import Source
from adtally.serve.finality import finality_of
from adtally.serve.tables import QUARTER_HOUR_MS, Kept, first_gone, plan
from adtally.utc import DAY_MS

HOUR_MS = 3_600_000
BEGIN = datetime(2026, 11, 27, tzinfo=UTC)
BEGIN_MS = round(BEGIN.timestamp() * 1000)
DAYS = 70
"""From November to February: two whole months lie inside."""

Hours = dict[int, LineSummary]


def day(number: int) -> int:
    return BEGIN_MS + number * DAY_MS


def month_start(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def cell(table: str, ts_ms: int) -> tuple[int, int]:
    """Give the cell of a table that holds a minute."""
    if table == "month":
        start = month_start(ts_ms)
        after = (start + timedelta(days=32)).replace(day=1)
        return round(start.timestamp() * 1000), round(after.timestamp() * 1000)
    width_ms = {"live": MINUTE_MS, "minute": MINUTE_MS, "quarter_hour": QUARTER_HOUR_MS, "day": DAY_MS}[table]
    return ts_ms // width_ms * width_ms, ts_ms // width_ms * width_ms + width_ms


@st.composite
def ledgers(draw: st.DrawFn) -> Hours:
    """Long stretches of one state, with holes, as real ledgers have them."""
    hours: Hours = {}
    at_ms = BEGIN_MS + draw(st.integers(0, 48)) * HOUR_MS
    for _ in range(draw(st.integers(0, 6))):
        state: Any = draw(st.sampled_from(["open", "final", "final", "damaged", "frozen"]))
        revision = draw(st.integers(0, 2))
        at_ms += draw(st.sampled_from([0, 0, 1, 5, 24])) * HOUR_MS
        for _ in range(draw(st.sampled_from([1, 7, 24, 300, 900]))):
            hours[at_ms] = LineSummary(len(hours) + 1, at_ms, state, revision, 0, 0)
            at_ms += HOUR_MS
    return hours


@st.composite
def edges(draw: st.DrawFn) -> tuple[int, ...]:
    width_ms = draw(st.sampled_from([MINUTE_MS, QUARTER_HOUR_MS, HOUR_MS, DAY_MS]))
    start_ms = day(0) + draw(st.integers(0, DAYS * DAY_MS // width_ms)) * width_ms
    length_ms = draw(st.integers(1, 60)) * draw(st.sampled_from([width_ms, DAY_MS]))
    start_ms += draw(st.sampled_from([0, 0, 7 * MINUTE_MS]))
    end_ms = start_ms + length_ms + draw(st.sampled_from([0, 0, 4 * MINUTE_MS]))
    if draw(st.booleans()):
        return (start_ms, end_ms)
    zone = ZoneInfo(draw(st.sampled_from(["UTC", "Asia/Kathmandu", "Europe/Berlin"])))
    granularity: Any = draw(st.sampled_from(["hour", "day", "week", "month"]))
    return buckets(start_ms, end_ms, granularity, zone, day(400)).edges_ms


def held(hours: Hours, minute_ms: int) -> str:
    """Tell of one minute where its numbers are."""
    line = hours.get(minute_ms // HOUR_MS * HOUR_MS)
    if line is None:
        return "nothing" if hours and minute_ms < max(hours) else "live"
    return "final" if line.state in ("final", "frozen") or line.revision > 0 else "live"


@settings(max_examples=150, deadline=None)
@given(ledgers(), edges(), st.sets(st.integers(-5, DAYS + 65)), st.booleans())
@example({}, (day(0), day(1)), set(), False)
def test_each_minute_comes_once_from_a_table_that_holds_it_and_no_edge_cuts_a_cell(
    hours: Hours, edges_ms: tuple[int, ...], unbuilt: set[int], months: bool
) -> None:
    days = {day(number) for number in range(-5, DAYS + 65)} - {day(number) for number in unbuilt}
    built: dict[Any, set[int]] = {
        "day": days,
        "month": {cell("month", day(at))[0] for at in (5, 40)} if months else set(),
    }
    sources = plan(edges_ms, finality_of(hours), built)
    # They adjoin, so each minute is covered once.
    assert [source.start_ms for source in sources] == [edges_ms[0], *(source.end_ms for source in sources[:-1])]
    assert sources[-1].end_ms == edges_ms[-1]
    assert all(a.table != b.table for a, b in pairwise(sources))
    inside = set(edges_ms[1:-1])
    for source in sources:
        at_ms = source.start_ms
        while at_ms < source.end_ms:
            begin_ms, after_ms = cell(source.table, at_ms)
            assert begin_ms == at_ms
            assert after_ms <= source.end_ms
            wanted = {"live"} if source.table == "live" else {"final", "nothing"}
            assert {held(hours, hour_ms) for hour_ms in range(begin_ms, after_ms, HOUR_MS)} <= wanted
            assert source.table not in built or begin_ms in built[source.table]
            # A few minutes of each cell: an edge inside it would be a whole minute.
            if source.table not in ("live", "minute"):
                assert not any(begin_ms < edge_ms < after_ms for edge_ms in inside)
            at_ms = max(after_ms, at_ms + HOUR_MS) if source.table in ("live", "minute") else after_ms
    assert coarsest(sources, edges_ms, built, hours)


def coarsest(sources: tuple[Source, ...], edges_ms: tuple[int, ...], built: dict[Any, set[int]], hours: Hours) -> bool:
    """Tell whether no coarser table could have answered for a minute, looking at some of them."""
    inside = edges_ms[1:-1]
    order = ["minute", "quarter_hour", "day", "month"]
    for source in sources:
        if source.table == "live":
            continue
        for minute_ms in (source.start_ms, (source.start_ms + source.end_ms) // 2, source.end_ms - MINUTE_MS):
            for table in order[order.index(source.table) + 1 :]:
                begin_ms, after_ms = cell(table, minute_ms)
                fits = all(cell(table, edge_ms)[0] == edge_ms for edge_ms in inside)
                whole = edges_ms[0] <= begin_ms and after_ms <= edges_ms[-1]
                there = table not in built or begin_ms in built[table]
                published = all(held(hours, hour_ms) != "live" for hour_ms in range(begin_ms, after_ms, HOUR_MS))
                if fits and whole and there and published:
                    return False
    return True


@settings(max_examples=150, deadline=None)
@given(ledgers(), edges(), st.integers(0, 2 * DAYS))
def test_a_bucket_is_final_if_each_of_its_minutes_is(hours: Hours, edges_ms: tuple[int, ...], now_day: int) -> None:
    finality = finality_of(hours)
    found = finality.of_buckets(edges_ms, day(now_day))
    assert len(found) == len(edges_ms) - 1
    for bucket, (begin_ms, end_ms) in zip(found, pairwise(edges_ms), strict=True):
        touched = range(begin_ms // HOUR_MS * HOUR_MS, end_ms, HOUR_MS)
        settled = all(is_settled(hours, hour_ms) for hour_ms in touched)
        assert (bucket.status == "final") == (settled and end_ms <= day(now_day))
        assert bucket.revision == max(hours[at].revision if at in hours else 0 for at in touched)


def is_settled(hours: Hours, hour_ms: int) -> bool:
    line = hours.get(hour_ms)
    if line is None:
        return bool(hours) and hour_ms < max(hours)
    return line.state in ("final", "frozen") or (line.state == "damaged" and line.revision > 0)


@settings(max_examples=150, deadline=None)
@given(ledgers())
def test_final_through_is_the_end_of_the_first_stretch_without_a_gap(hours: Hours) -> None:
    if not hours:
        assert finality_of(hours).final_through_ms is None
        return
    at_ms = min(hours)
    while is_settled(hours, at_ms):
        at_ms += HOUR_MS
    assert finality_of(hours).final_through_ms == at_ms


@settings(max_examples=150, deadline=None)
@given(ledgers(), edges(), st.integers(0, DAYS * 24), st.integers(0, DAYS))
def test_what_retention_removed_is_asked_of_no_table(
    hours: Hours, edges_ms: tuple[int, ...], minute_hours: int, quarter_hour_days: int
) -> None:
    kept = Kept(day(0) + minute_hours * HOUR_MS, day(quarter_hour_days))
    first_ms = min(hours) if hours else None
    sources = plan(edges_ms, finality_of(hours), {})
    gone = first_gone(sources, kept, first_ms)
    removed = [
        source
        for source in sources
        for at_ms in range(source.start_ms, source.end_ms, MINUTE_MS * 5)
        if source.table in ("minute", "quarter_hour")
        and at_ms >= (first_ms or 0)
        and at_ms < (kept.minutes_from_ms if source.table == "minute" else kept.quarter_hours_from_ms)
    ]
    if removed:
        assert gone == removed[0]
    elif gone is not None:
        # Less than five minutes of it.
        assert gone.end_ms - gone.start_ms < QUARTER_HOUR_MS
