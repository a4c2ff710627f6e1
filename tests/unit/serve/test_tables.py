"""Finality and the choice of tables, example by example."""

from itertools import pairwise
from typing import Any

import pytest

from adtally.ledger.port import LineSummary
from adtally.olap.port import Source
from adtally.serve.finality import BucketFinality, Finality, finality_of
from adtally.serve.tables import Kept, first_gone, kept_at, plan
from adtally.serve.values import rfc3339
from adtally.utc import DAY_MS
from support.serving import ms

HOUR_MS = 3_600_000
NOON = ms("2026-11-23T12:00:00Z")


def finality(*hours: tuple[str, int] | None, begin: str = "2026-11-23T00:00:00Z") -> Finality:
    """Give what lines of these states and revisions say, hour by hour; None is an hour without a line."""
    lines = {}
    for number, hour in enumerate(hours):
        if hour is not None:
            at_ms, state = ms(begin) + number * HOUR_MS, hour[0]
            given: Any = (number + 1, at_ms, state, hour[1], 0, 0)
            lines[at_ms] = LineSummary(*given)
    return finality_of(lines)


def final_days(number: int, begin: str) -> Finality:
    return finality(*[("final", 1)] * 24 * number, begin=begin)


def told(sources: tuple[Source, ...]) -> list[tuple[str, str, str]]:
    """Give sources with times as text, without what is the same in all."""
    return [(source.table, rfc3339(source.start_ms)[5:16], rfc3339(source.end_ms)[5:16]) for source in sources]


def edges(*texts: str) -> tuple[int, ...]:
    return tuple(map(ms, texts))


def days(start: str, end: str) -> set[int]:
    return set(range(ms(f"{start}T00:00:00Z"), ms(f"{end}T00:00:00Z"), DAY_MS))


def test_a_range_with_ragged_ends_takes_every_table_once_and_back() -> None:
    found = plan(
        edges("2026-10-29T22:07:00Z", "2026-12-02T01:52:00Z"),
        final_days(40, "2026-10-29T00:00:00Z"),
        {"day": days("2026-10-29", "2026-12-02"), "month": {ms("2026-11-01T00:00:00Z")}},
    )
    assert told(found) == [
        ("minute", "10-29T22:07", "10-29T22:15"),
        ("quarter_hour", "10-29T22:15", "10-30T00:00"),
        ("day", "10-30T00:00", "11-01T00:00"),
        ("month", "11-01T00:00", "12-01T00:00"),
        ("day", "12-01T00:00", "12-02T00:00"),
        ("quarter_hour", "12-02T00:00", "12-02T01:45"),
        ("minute", "12-02T01:45", "12-02T01:52"),
    ]


def test_an_edge_inside_a_cell_rules_its_table_out() -> None:
    settled = final_days(40, "2026-10-29T00:00:00Z")
    built: Any = {"day": days("2026-10-29", "2026-12-02"), "month": {ms("2026-11-01T00:00:00Z")}}
    start, end = "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"
    for inside, table in (
        ((), "month"),
        (("2026-11-02T00:00:00Z",), "day"),
        (("2026-11-01T18:15:00Z",), "quarter_hour"),
        (("2026-11-01T18:14:00Z",), "minute"),
        (("2026-11-01T18:14:00Z", "2026-11-02T00:00:00Z"), "minute"),
        (("2026-11-02T00:00:00Z", "2026-11-03T18:14:00Z"), "minute"),
    ):
        found = plan(edges(start, *inside, end), settled, built)
        assert [source.table for source in found] == [table], inside


def test_a_day_or_month_that_is_not_built_comes_from_below() -> None:
    found = plan(
        edges("2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z"),
        final_days(40, "2026-10-29T00:00:00Z"),
        {"day": days("2026-11-01", "2026-11-03") | days("2026-11-04", "2026-11-06")},
    )
    assert told(found) == [
        ("day", "11-01T00:00", "11-03T00:00"),
        ("quarter_hour", "11-03T00:00", "11-04T00:00"),
        ("day", "11-04T00:00", "11-06T00:00"),
    ]


def test_open_hours_come_from_live_and_split_the_day_that_holds_them() -> None:
    settled = finality(
        *[("final", 1)] * 5, ("open", 0), *[("final", 1)] * 4, ("open", 0), ("damaged", 0), ("frozen", 2)
    )
    found = plan(
        edges("2026-11-23T00:00:00Z", "2026-11-23T14:00:00Z"), settled, {"day": days("2026-11-23", "2026-11-24")}
    )
    assert told(found) == [
        ("quarter_hour", "11-23T00:00", "11-23T05:00"),
        ("live", "11-23T05:00", "11-23T06:00"),
        ("quarter_hour", "11-23T06:00", "11-23T10:00"),
        ("live", "11-23T10:00", "11-23T12:00"),
        ("quarter_hour", "11-23T12:00", "11-23T13:00"),
        ("live", "11-23T13:00", "11-23T14:00"),
    ]


def test_an_hour_that_is_open_again_keeps_its_published_numbers() -> None:
    settled = finality(("final", 1), ("open", 2), ("final", 1))
    span = edges("2026-11-23T00:00:00Z", "2026-11-23T01:00:00Z", "2026-11-23T02:00:00Z")
    assert {source.table for source in plan(span, settled, {})} == {"quarter_hour"}
    assert settled.of_buckets(span, NOON) == [BucketFinality("final", 1), BucketFinality("provisional", 2)]
    assert settled.final_through_ms == ms("2026-11-23T01:00:00Z")


def test_without_a_ledger_everything_is_live_and_provisional() -> None:
    nothing = finality()
    span = edges("2026-11-23T00:00:00Z", "2026-11-23T01:00:00Z")
    assert plan(span, nothing, {}) == (Source("live", *span),)
    assert nothing.of_buckets(span, NOON) == [BucketFinality("provisional", 0)]
    assert (nothing.final_through_ms, nothing.open_hours(NOON)) == (None, 0)


def test_before_the_first_line_everything_is_final_and_nothing_is_gone() -> None:
    settled = finality(("final", 3))
    span = edges("2020-01-01T00:07:00Z", "2026-11-23T00:00:00Z")
    assert settled.of_buckets(span, NOON) == [BucketFinality("final", 0)]
    assert first_gone(plan(span, settled, {}), Kept(NOON, NOON), settled.first_ms) is None


def test_a_bucket_is_final_only_if_all_of_it_is_and_it_is_over() -> None:
    settled = finality(("final", 1), ("damaged", 4), ("damaged", 0), ("frozen", 2))
    hours = tuple(ms("2026-11-23T00:00:00Z") + number * HOUR_MS for number in range(-1, 6))
    assert [(found.status, found.revision) for found in settled.of_buckets(hours, NOON)] == [
        ("final", 0), ("final", 1), ("final", 4), ("provisional", 0), ("final", 2), ("provisional", 0),
    ]  # fmt: skip
    assert settled.of_buckets((hours[0], hours[3]), NOON) == [BucketFinality("final", 4)]
    assert settled.of_buckets((hours[0], hours[4]), NOON) == [BucketFinality("provisional", 4)]
    assert settled.of_buckets((hours[0], hours[3]), hours[3] - 1) == [BucketFinality("provisional", 4)]
    assert settled.final_through_ms == hours[3]


def test_open_hours_are_counted_up_to_the_running_one() -> None:
    settled = finality(("final", 1), None, ("open", 0), ("final", 1))
    assert settled.open_hours(ms("2026-11-23T05:30:00Z")) == 3
    assert settled.open_hours(ms("2026-11-23T02:00:00Z")) == 1
    assert settled.open_hours(ms("2026-11-22T02:00:00Z")) == 0


def test_retention_leaves_whole_hours_of_minutes_and_whole_days_of_quarter_hours() -> None:
    kept = kept_at(ms("2026-11-23T12:34:00Z"), 2, 10)
    assert kept == Kept(ms("2026-11-21T12:00:00Z"), ms("2026-11-13T00:00:00Z"))


@pytest.mark.parametrize(
    ("start", "end", "gone"),
    [
        ("2026-11-02T00:00:00Z", "2026-11-30T00:00:00Z", None),
        ("2026-11-02T00:07:00Z", "2026-11-30T00:00:00Z", "minute"),
        ("2026-11-02T00:15:00Z", "2026-11-30T00:00:00Z", "quarter_hour"),
        ("2026-11-11T00:15:00Z", "2026-11-30T00:00:00Z", None),
        ("2026-11-11T00:14:00Z", "2026-11-30T00:00:00Z", "minute"),
        ("2026-11-22T00:14:00Z", "2026-11-30T00:00:00Z", None),
        ("2026-11-22T00:14:00Z", "2026-11-30T00:01:00Z", None),
        ("2026-11-02T00:00:00Z", "2026-11-03T00:01:00Z", "minute"),
    ],
)
def test_ragged_ends_need_what_may_be_gone(start: str, end: str, gone: str | None) -> None:
    kept = Kept(ms("2026-11-20T00:00:00Z"), ms("2026-11-10T00:00:00Z"))
    settled = final_days(60, "2026-11-01T00:00:00Z")
    sources = plan(edges(start, end), settled, {"day": days("2026-11-01", "2026-12-30")})
    found = first_gone(sources, kept, settled.first_ms)
    assert (found.table if found else None) == gone


def test_runs_adjoin_and_cover_all_times() -> None:
    runs = finality(("final", 1), ("final", 1), None, ("open", 0), ("final", 2)).runs
    assert [a.end_ms for a, _ in pairwise(runs)] == [b.start_ms for _, b in pairwise(runs)]
    assert [(run.status, run.held, run.revision) for run in runs] == [
        ("final", "nothing", 0), ("final", "final", 1), ("final", "nothing", 0), ("provisional", "live", 0),
        ("final", "final", 2), ("provisional", "live", 0),
    ]  # fmt: skip
