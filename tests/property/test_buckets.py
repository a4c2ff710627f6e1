"""Bucket edges against a calendar that is read minute by minute off the wall clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.buckets import Granularity, buckets, windows

MINUTE_MS = 60_000
FAR_MS = 4_000_000_000_000

# An instant near which something happens in the zone.
EVENTS = (
    ("UTC", "2026-07-01T00:00"),
    ("Asia/Kolkata", "2026-07-01T18:30"),
    ("Asia/Kathmandu", "2026-07-01T18:15"),
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),  # back by half an hour
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("America/St_Johns", "2010-03-14T03:31"),  # forward from 00:01 to 01:01
    ("America/St_Johns", "2010-11-07T02:31"),  # back from 00:01 to 23:01 of the day before
    ("Pacific/Apia", "2011-12-30T10:00"),  # a date is left out
    ("Africa/Casablanca", "2026-02-15T02:00"),  # Ramadan
    ("Africa/Casablanca", "2026-03-22T02:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/Sao_Paulo", "2017-10-15T03:00"),  # forward at midnight
    ("America/Sao_Paulo", "2018-02-18T02:00"),  # back to the day before
    ("America/Havana", "2026-11-01T05:00"),  # back to midnight
    ("Asia/Beirut", "2026-03-28T22:00"),  # forward at midnight
    ("Asia/Pyongyang", "2015-08-14T15:00"),  # back by half an hour at midnight
    ("Asia/Pyongyang", "2018-05-04T15:00"),
    ("Pacific/Chatham", "2026-04-04T14:00"),
    ("Antarctica/Casey", "2010-03-04T15:00"),  # back by three hours, over midnight
    ("Antarctica/Troll", "2026-03-29T01:00"),  # by two hours
)
ZONES = sorted({zone for zone, _ in EVENTS})
GRANULARITIES: tuple[Granularity, ...] = ("minute", "hour", "day", "week", "month")
DAY_MINUTES = 24 * 60


def key_of(wall: datetime, granularity: Granularity) -> tuple[object, ...]:
    if granularity == "minute":
        return (wall.replace(second=0, microsecond=0).isoformat(),)
    if granularity == "hour":
        return (wall.replace(minute=0, second=0, microsecond=0).isoformat(),)
    if granularity == "day":
        return (wall.year, wall.month, wall.day)
    if granularity == "week":
        return tuple(wall.isocalendar()[:2])
    return (wall.year, wall.month)


def edges_by_walking(start_ms: int, end_ms: int, granularity: Granularity, zone: ZoneInfo) -> list[int]:
    """Where the label changes, walking minute by minute. Dates never go back, clock times may."""
    found = []
    previous: tuple[object, ...] | None = None
    for ts_ms in range(start_ms, end_ms, MINUTE_MS):
        wall = datetime.fromtimestamp(ts_ms / 1000, UTC).astimezone(zone)
        key = key_of(wall.replace(tzinfo=None), granularity)
        if granularity in ("minute", "hour"):
            key = (*key, wall.utcoffset())
        elif previous is not None:
            key = max(previous, key)
        if previous is not None and key != previous:
            found.append(ts_ms)
        previous = key
    return found


def check(zone: ZoneInfo, granularity: Granularity, start_ms: int, end_ms: int) -> None:
    found = buckets(start_ms, end_ms, granularity, zone, FAR_MS)
    walked = edges_by_walking(start_ms - 2 * DAY_MINUTES * MINUTE_MS, end_ms, granularity, zone)
    assert list(found.edges_ms) == [start_ms, *(edge for edge in walked if edge > start_ms), end_ms]
    assert found.starts_ms[1:] == found.edges_ms[1:-1]
    if granularity in ("minute", "hour", "day"):
        assert found.starts_ms[0] == max(edge for edge in walked if edge <= start_ms)
    assert found.starts_ms[0] <= start_ms


@pytest.mark.parametrize(("zone", "event"), EVENTS)
@pytest.mark.parametrize("granularity", GRANULARITIES[1:3])
def test_edges_around_an_event_are_where_the_wall_clock_says(zone: str, event: str, granularity: Granularity) -> None:
    at_ms = int(datetime.fromisoformat(event + "+00:00").timestamp()) * 1000
    for minutes in (-61, -29, -1, 0, 1, 17, 31, 59, 121):
        check(ZoneInfo(zone), granularity, at_ms + minutes * MINUTE_MS, at_ms + (DAY_MINUTES + 300) * MINUTE_MS)


@settings(deadline=None, max_examples=60)
@given(
    place=st.sampled_from(EVENTS),
    granularity=st.sampled_from(GRANULARITIES),
    before=st.integers(-DAY_MINUTES, 2 * DAY_MINUTES),
    length=st.integers(1, 3 * DAY_MINUTES),
)
def test_edges_are_where_the_wall_clock_says(
    place: tuple[str, str], granularity: Granularity, before: int, length: int
) -> None:
    zone, event = place
    start_ms = int((datetime.fromisoformat(event + "+00:00") - timedelta(minutes=before)).timestamp()) * 1000
    check(ZoneInfo(zone), granularity, start_ms, start_ms + length * MINUTE_MS)


@settings(deadline=None, max_examples=30)
@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    granularity=st.sampled_from(["week", "month"]),
    start_s=st.integers(946_684_800, 1_893_456_000),
)
def test_a_week_begins_on_a_monday_and_a_month_on_a_first(
    zone: ZoneInfo, granularity: Granularity, start_s: int
) -> None:
    found = buckets(start_s * 1000, start_s * 1000 + 90 * 24 * 60 * MINUTE_MS, granularity, zone, FAR_MS)
    for begin_ms in found.starts_ms:
        wall = datetime.fromtimestamp(begin_ms / 1000, zone)
        assert wall.weekday() == 0 if granularity == "week" else wall.day == 1
        day_before = datetime.fromtimestamp(begin_ms / 1000 - 1, zone)
        assert day_before.date() < wall.date()


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("zone", ZONES)
def test_two_ranges_side_by_side_cover_what_the_whole_covers(zone: str, granularity: Granularity) -> None:
    start_ms = int(datetime.fromisoformat("2026-03-27T00:00:00+00:00").timestamp()) * 1000
    middle_ms, end_ms = start_ms + 1777 * MINUTE_MS, start_ms + 5555 * MINUTE_MS
    left = buckets(start_ms, middle_ms, granularity, ZoneInfo(zone), FAR_MS)
    right = buckets(middle_ms, end_ms, granularity, ZoneInfo(zone), FAR_MS)
    whole = buckets(start_ms, end_ms, granularity, ZoneInfo(zone), FAR_MS)
    assert sorted({*left.starts_ms, *right.starts_ms}) == list(whole.starts_ms)
    assert sorted({*left.edges_ms, *right.edges_ms} - {middle_ms}) == sorted({*whole.edges_ms} - {middle_ms})


@settings(deadline=None, max_examples=60)
@given(
    place=st.sampled_from(EVENTS),
    granularity=st.sampled_from(GRANULARITIES),
    length=st.integers(1, 3 * DAY_MINUTES),
    now=st.integers(-10, 4 * DAY_MINUTES),
    number=st.integers(1, 500),
)
def test_stretches_of_buckets_together_are_the_buckets(
    place: tuple[str, str], granularity: Granularity, length: int, now: int, number: int
) -> None:
    zone, start_ms = ZoneInfo(place[0]), int(datetime.fromisoformat(place[1] + "+00:00").timestamp()) * 1000
    end_ms, now_ms = start_ms + length * MINUTE_MS, start_ms + now * MINUTE_MS
    whole = buckets(start_ms, end_ms, granularity, zone, now_ms)
    parts = list(windows(start_ms, end_ms, granularity, zone, now_ms, number))
    assert tuple(begin for part in parts for begin in part.starts_ms) == whole.starts_ms
    assert tuple(begin for part in parts for begin in part.edges_ms[:-1]) == whole.edges_ms[:-1]
    assert [part.edges_ms[-1] for part in parts[-1:]] == list(whole.edges_ms[-1:])
    assert all(len(part.starts_ms) == number for part in parts[:-1])
