from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from adtally.buckets import BUCKETS_MAX, Buckets, Granularity, bucket_end, buckets
from adtally.errors import InvalidValueError

HOUR_MS = 3_600_000
UTC = ZoneInfo("UTC")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def ask(start: str, end: str, granularity: Granularity, zone: str = "UTC", now: str = "2030-01-01T00:00Z") -> Buckets:
    return buckets(ms(start), ms(end), granularity, ZoneInfo(zone), ms(now))


def local(found: Buckets, zone: str) -> list[str]:
    return [datetime.fromtimestamp(start / 1000, ZoneInfo(zone)).isoformat() for start in found.starts_ms]


def test_the_first_bucket_contains_the_start_and_counts_only_what_is_inside() -> None:
    found = ask("2026-07-01T10:20Z", "2026-07-01T12:05Z", "hour")
    assert local(found, "UTC") == [f"2026-07-01T{hour}:00:00+00:00" for hour in (10, 11, 12)]
    assert found.edges_ms[0] == ms("2026-07-01T10:20Z")
    assert found.edges_ms[-1] == ms("2026-07-01T12:05Z")


def test_a_berlin_day_has_23_hours_in_spring_and_25_in_autumn() -> None:
    for day, next_day, hours in (("2026-03-29", "2026-03-30", 23), ("2026-10-25", "2026-10-26", 25)):
        begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Berlin")).isoformat()
        end = datetime.fromisoformat(next_day).replace(tzinfo=ZoneInfo("Europe/Berlin")).isoformat()
        whole = ask(begin, end, "day", "Europe/Berlin")
        assert whole.edges_ms[1] - whole.edges_ms[0] == hours * HOUR_MS
        assert len(whole.starts_ms) == 1
        assert len(ask(begin, end, "hour", "Europe/Berlin").starts_ms) == hours


def test_the_hour_that_autumn_repeats_is_two_buckets() -> None:
    found = ask("2026-10-25T00:00Z", "2026-10-25T02:00Z", "hour", "Europe/Berlin")
    assert local(found, "Europe/Berlin") == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]


def test_hours_in_kathmandu_begin_at_a_quarter_past_in_utc() -> None:
    found = ask("2026-07-01T10:00Z", "2026-07-01T12:00Z", "hour", "Asia/Kathmandu")
    assert [start % HOUR_MS for start in found.starts_ms] == [15 * 60_000] * 3


def test_lord_howe_has_a_bucket_of_half_an_hour_on_both_edges_of_summer() -> None:
    for around in ("2026-04-04T15:00", "2026-10-03T15:30"):
        begin_ms = ms(around + "+00:00") - 3 * HOUR_MS
        found = buckets(begin_ms, begin_ms + 6 * HOUR_MS, "hour", ZoneInfo("Australia/Lord_Howe"), ms("2030-01-01T00Z"))
        widths = [b - a for a, b in zip(found.edges_ms[1:-1], found.edges_ms[2:-1], strict=False)]
        assert sorted(set(widths)) == [HOUR_MS // 2, HOUR_MS]


def test_the_day_that_apia_left_out_has_no_bucket() -> None:
    found = ask("2011-12-29T12:00Z", "2012-01-01T00:00Z", "day", "Pacific/Apia")
    assert [text[:10] for text in local(found, "Pacific/Apia")] == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_weeks_are_iso_weeks() -> None:
    found = ask("2026-12-31T00:00Z", "2027-01-12T00:00Z", "week")
    assert [text[:10] for text in local(found, "UTC")] == ["2026-12-28", "2027-01-04", "2027-01-11"]


def test_a_range_into_the_future_ends_with_the_bucket_that_holds_now() -> None:
    found = ask("2026-07-01T00:00Z", "2026-08-01T00:00Z", "day", now="2026-07-03T10:00Z")
    assert [text[:10] for text in local(found, "UTC")] == ["2026-07-01", "2026-07-02", "2026-07-03"]
    assert found.edges_ms[-1] == ms("2026-07-04T00:00Z")


def test_a_range_that_begins_after_the_bucket_of_now_has_no_buckets() -> None:
    assert ask("2026-07-02T00:00Z", "2026-07-03T00:00Z", "hour", now="2026-07-01T10:00Z") == Buckets((), ())


def test_now_on_an_edge_begins_its_bucket() -> None:
    found = ask("2026-07-01T10:00Z", "2026-07-01T11:00Z", "minute", now="2026-07-01T10:02Z")
    assert len(found.starts_ms) == 3


@pytest.mark.parametrize("granularity", ["minute", "hour"])
def test_ten_thousand_buckets_are_given_and_one_more_is_refused(granularity: Granularity) -> None:
    width_ms = 60_000 if granularity == "minute" else HOUR_MS
    start_ms, now_ms = ms("2026-01-01T00:00Z"), ms("2030-01-01T00:00Z")
    assert len(buckets(start_ms, start_ms + BUCKETS_MAX * width_ms, granularity, UTC, now_ms).starts_ms) == BUCKETS_MAX
    with pytest.raises(InvalidValueError, match="more than 10,000"):
        buckets(start_ms, start_ms + BUCKETS_MAX * width_ms + 1, granularity, UTC, now_ms)


@pytest.mark.parametrize("end", ["2026-07-01T10:00Z", "2026-07-01T09:59Z"])
def test_an_empty_or_reversed_range_is_refused(end: str) -> None:
    with pytest.raises(InvalidValueError, match="later than start"):
        ask("2026-07-01T10:00Z", end, "minute")


def test_the_end_of_a_bucket_is_the_beginning_of_the_next() -> None:
    assert bucket_end(ms("2026-12-15T00:00Z"), "month", UTC) == ms("2027-01-01T00:00Z")
