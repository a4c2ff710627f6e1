"""What every OLAP store promises of hours and days that lie in one part on disk: each is published by itself."""

from pathlib import Path

from adtally.olap.port import Span
from adtally.utc import FOREVER_MS
from support.olap_stores import HOUR_MS, NOON_S, Live, Store, Stored, cell, publish, recounted

NOON_MS = NOON_S * 1000
DAY_MS = 24 * HOUR_MS
DAY_START_MS = NOON_MS - 12 * HOUR_MS
MONTH_MS = DAY_START_MS - 26 * DAY_MS


def clicks(hour: int, number: int) -> Live:
    return Live(number, [f"u{hour}"], minute_s=NOON_S + hour * 3_600)


def test_of_the_hours_staged_together_only_those_that_are_named_are_published(stored: Stored, tmp_path: Path) -> None:
    store, hours = stored.store, range(-7, 7)
    store.stage(recounted(tmp_path, *(clicks(hour, 1) for hour in hours)))
    named: list[int] = []
    for some in ([-7, 0, 2], [1], [5, -2], [6, -1, 4, 3], [-6, -5, -4, -3]):
        store.publish_hours([NOON_MS + hour * HOUR_MS for hour in some])
        named += some
        assert stored.final("minute") == [cell(clicks(hour, 1)) for hour in sorted(named)]


def test_an_hour_is_corrected_and_emptied_without_those_that_lie_with_it(stored: Stored, tmp_path: Path) -> None:
    hours = {hour: clicks(hour, 1) for hour in range(6)}
    stored.store.stage(recounted(tmp_path, *hours.values()))
    stored.store.publish_hours([NOON_MS + hour * HOUR_MS for hour in hours])
    for hour in (3, 0, 5):
        hours[hour] = clicks(hour, 7)
        # Other hours are staged besides, with other numbers, and not published.
        stored.store.stage(recounted(tmp_path, *(clicks(each, 7) for each in range(6))))
        spans = stored.store.publish_hours([NOON_MS + hour * HOUR_MS])
        assert spans[0] == Span("minute", NOON_MS + hour * HOUR_MS, 1, 7)
        assert stored.final("minute") == [cell(row) for row in hours.values()]
    for hour in (4, 0, 1, 2, 3, 5):
        del hours[hour]
        publish(stored.store, tmp_path, NOON_MS + hour * HOUR_MS)
        assert stored.final("minute") == [cell(row) for row in hours.values()]


def test_a_day_is_corrected_and_emptied_without_the_others_of_its_week(stored: Stored, tmp_path: Path) -> None:
    store, days = stored.store, dict[int, int]()
    # From a Friday to the Thursday after the next, so that three weeks are touched.
    for day in (0, 13, 5, 1, 7, 2, 6, 3):
        days[day] = day + 1
        publish(store, tmp_path, NOON_MS + day * DAY_MS, clicks(24 * day, day + 1))
        assert store.publish_day(DAY_START_MS + day * DAY_MS) == Span("day", DAY_START_MS + day * DAY_MS, 1, day + 1)
    for day, number in ((5, 100), (2, 0), (0, 50), (13, 0)):
        days[day] = number
        rows = [clicks(24 * day, number)] if number else []
        publish(store, tmp_path, NOON_MS + day * DAY_MS, *rows)
        store.publish_day(DAY_START_MS + day * DAY_MS)
        held = [(row[3] * 1000, row[6]) for row in stored.final("day")]
        assert held == [(DAY_START_MS + at * DAY_MS, n) for at, n in sorted(days.items()) if n]


def test_spans_are_told_of_whatever_the_bounds_are(store: Store, tmp_path: Path) -> None:
    publish(store, tmp_path, NOON_MS, clicks(0, 3))
    store.publish_day(DAY_START_MS)
    store.publish_month(MONTH_MS)
    starts = {"minute": NOON_MS, "quarter_hour": DAY_START_MS, "day": DAY_START_MS, "month": MONTH_MS}
    for grain, start_ms in starts.items():
        for from_ms in (-FOREVER_MS, -1, 0, start_ms):
            assert store.spans(grain, from_ms, FOREVER_MS) == [Span(grain, start_ms, 1, 3)]  # type: ignore[arg-type]
        assert store.spans(grain, start_ms + 1, FOREVER_MS) == []  # type: ignore[arg-type]
