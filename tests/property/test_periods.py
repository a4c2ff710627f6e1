"""The period before a period, against dates of the calendar and a walk along the wall clock."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from adtally.serve.periods import periods_of
from adtally.serve.ranges import Range

MINUTE_MS = 60_000
FAR_MS = 4_000_000_000_000

# Days around which a clock is changed, by all kinds of steps, and zones in which none is.
PLACES = (
    ("UTC", date(2026, 7, 1)),
    ("Asia/Kolkata", date(2026, 7, 1)),
    ("Asia/Kathmandu", date(2026, 7, 1)),
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("America/St_Johns", date(2010, 11, 7)),
    ("Pacific/Apia", date(2011, 12, 30)),
    ("America/Sao_Paulo", date(2017, 10, 15)),
    ("America/Sao_Paulo", date(2018, 2, 18)),
    ("America/Havana", date(2026, 11, 1)),
    ("Asia/Beirut", date(2026, 3, 29)),
    ("Antarctica/Casey", date(2010, 3, 5)),
)
places = st.sampled_from(PLACES)


@cache
def begins(day: date, zone: str) -> int:
    """The first minute at which the wall clock shows the date or a later one, found by walking."""
    at_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000 - 15 * 3_600_000
    while datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date() < day:
        at_ms += MINUTE_MS
    return at_ms


def month_first(day: date, months: int) -> date:
    """The first of the month that lies so many months from the one of `day`, a step at a time."""
    first = day.replace(day=1)
    for _ in range(abs(months)):
        first = (
            (first - timedelta(days=1)).replace(day=1) if months < 0 else (first + timedelta(days=31)).replace(day=1)
        )
    return first


def compare(start_ms: int, end_ms: int, zone: str, now_ms: int = FAR_MS) -> tuple[int, int, int, int]:
    found = periods_of(Range(start_ms, end_ms), ZoneInfo(zone), now_ms, now_ms)
    assert found.current.start_ms == start_ms
    return found.current.start_ms, found.current.end_ms, found.previous.start_ms, found.previous.end_ms


@settings(deadline=None, max_examples=150)
@given(place=places, shift=st.integers(-9, 9), days=st.integers(1, 12))
def test_days_that_are_over_are_compared_with_as_many_days_before_them(
    place: tuple[str, date], shift: int, days: int
) -> None:
    zone, near = place
    first = near + timedelta(days=shift)
    start_ms, end_ms = begins(first, zone), begins(first + timedelta(days=days), zone)
    assume(start_ms < end_ms)
    assume(not (first.day == 1 and (first + timedelta(days=days)).day == 1))
    # Of a date that was left out, nothing is asked by name.
    assume(begins(first, zone) < begins(first + timedelta(days=1), zone))
    assume(begins(first + timedelta(days=days - 1), zone) < end_ms)
    assert compare(start_ms, end_ms, zone) == (start_ms, end_ms, begins(first - timedelta(days=days), zone), start_ms)


@settings(deadline=None, max_examples=60)
@given(place=places, shift=st.integers(-14, 14), months=st.integers(1, 5))
def test_months_that_are_over_are_compared_with_as_many_months_before_them(
    place: tuple[str, date], shift: int, months: int
) -> None:
    zone, near = place
    first = month_first(near, shift)
    start_ms, end_ms = begins(first, zone), begins(month_first(first, months), zone)
    assert compare(start_ms, end_ms, zone) == (start_ms, end_ms, begins(month_first(first, -months), zone), start_ms)


@settings(deadline=None, max_examples=200)
@given(
    place=places,
    shift=st.integers(-9, 9),
    days=st.integers(1, 9),
    passed=st.integers(0, 26 * 60),
    end_is_now=st.booleans(),
)
@example(place=("America/St_Johns", date(2010, 11, 7)), shift=0, days=1, passed=30, end_is_now=False)
def test_a_running_day_is_compared_with_the_same_part_of_its_counterpart(
    place: tuple[str, date], shift: int, days: int, passed: int, end_is_now: bool
) -> None:
    zone, near = place
    first = near + timedelta(days=shift)
    today = first + timedelta(days=days - 1)
    start_ms, end_ms = begins(first, zone), begins(today + timedelta(days=1), zone)
    assume(begins(first, zone) < begins(first + timedelta(days=1), zone))
    assume(not (first.day == 1 and (today + timedelta(days=1)).day == 1))
    now_ms = begins(today, zone) + passed * MINUTE_MS
    assume(start_ms < now_ms < end_ms and (passed or not end_is_now))
    counterpart = today - timedelta(days=days)
    counterpart_ends_ms = begins(counterpart + timedelta(days=1), zone)
    assert compare(start_ms, now_ms if end_is_now else end_ms, zone, now_ms) == (
        start_ms,
        now_ms,
        begins(first - timedelta(days=days), zone),
        min(begins(counterpart, zone) + passed * MINUTE_MS, counterpart_ends_ms, start_ms),
    )


@settings(deadline=None, max_examples=100)
@given(
    zone=places.map(lambda place: place[0]),
    start=st.integers(20_000_000, 29_000_000),
    length=st.integers(1, 5_000),
    elapsed=st.integers(-10, 6_000),
)
def test_any_other_span_is_compared_with_the_adjoining_one_as_far_as_it_has_elapsed(
    zone: str, start: int, length: int, elapsed: int
) -> None:
    start_ms, end_ms = start * MINUTE_MS, (start + length) * MINUTE_MS
    assume(begins(datetime.fromtimestamp(start_ms / 1000, ZoneInfo(zone)).date(), zone) != start_ms)
    now_ms = start_ms + elapsed * MINUTE_MS
    got = min(max(elapsed, 0), length) * MINUTE_MS
    before_ms = start_ms - (end_ms - start_ms)
    assert compare(start_ms, end_ms, zone, now_ms) == (start_ms, start_ms + got, before_ms, before_ms + got)


@settings(deadline=None, max_examples=100)
@given(place=places, shift=st.integers(-40, 40), days=st.integers(1, 40), steps=st.lists(st.integers(0, 60_000)))
@example(place=("Europe/Berlin", date(2026, 10, 25)), shift=-1, days=3, steps=[2_910, 2_940])
def test_later_instants_never_have_earlier_counterparts(
    place: tuple[str, date], shift: int, days: int, steps: list[int]
) -> None:
    zone, near = place
    first = near + timedelta(days=shift)
    start_ms, end_ms = begins(first, zone), begins(first + timedelta(days=days), zone)
    assume(start_ms < end_ms)
    found = periods_of(Range(start_ms, end_ms), ZoneInfo(zone), FAR_MS, FAR_MS)
    asked = sorted(start_ms + min(step * MINUTE_MS, end_ms - start_ms) for step in steps)
    opposite = [found.counterpart_ms(at_ms) for at_ms in asked]
    assert opposite == sorted(opposite)
    assert all(found.previous.start_ms <= at_ms <= found.previous.end_ms for at_ms in opposite)
    assert found.counterpart_ms(start_ms) == found.previous.start_ms
