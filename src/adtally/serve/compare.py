"""GET /v1/compare: a period beside the one before it, with equally elapsed time."""

from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from adtally.buckets import bucket_end, buckets
from adtally.olap.port import Source
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.finality import Status
from adtally.serve.metrics import timestamps
from adtally.serve.periods import Periods, periods_of
from adtally.serve.ranges import UTC, End, Grain, Range, Start, Zone, whole_minutes
from adtally.serve.reading import Reading, read_ledger
from adtally.serve.scope import Filters, Scope, Totals, scope_of, totals_of
from adtally.serve.values import rfc3339


class CompareParams(Filters, frozen=True):
    """What /v1/compare is asked."""

    start: Start
    end: End
    granularity: Grain = "day"
    timezone: Zone = UTC


class Period(msgspec.Struct, frozen=True):
    """One of the two periods, as far as it is compared: [start, end)."""

    start: str
    end: str
    clicks: int
    unique_users: int


class Change(msgspec.Struct, frozen=True):
    """By how much the current numbers differ, relative to the previous ones: 0.12 is 12 % more; null from 0."""

    clicks: float | None
    unique_users: float | None


class ComparedRow(msgspec.Struct, frozen=True):
    """One bucket of the current period and its counterpart, which is null where the previous one has none."""

    timestamp: str
    clicks: int
    unique_users: int
    previous_timestamp: str | None
    previous_clicks: int | None
    previous_unique_users: int | None
    status: Status


class Comparison(msgspec.Struct, frozen=True):
    """Whole days and months of the zone are compared with as many before them, other ranges with the adjoining span.

    Of a range that has not ended, what has elapsed and is counted is compared with the same part of the one before.
    """

    current: Period
    previous: Period
    change: Change
    series: list[ComparedRow]
    as_of: str | None
    final_through: str | None


def get_compare(call: Call[CompareParams, NoBody]) -> Comparison:
    """Answer GET /v1/compare."""
    asked = call.params
    scope = scope_of(call, asked)
    as_of_ms = call.services.progress.as_of_ms
    periods = _periods(call, as_of_ms)
    reading = read_ledger(call)
    rows, *wholes = _series(call, reading, scope, periods)
    zone = asked.timezone
    current, previous = (_period(*each, zone) for each in zip((periods.current, periods.previous), wholes, strict=True))
    return Comparison(
        current=current,
        previous=previous,
        change=Change(_change(current.clicks, previous.clicks), _change(current.unique_users, previous.unique_users)),
        series=rows,
        as_of=None if as_of_ms is None else rfc3339(as_of_ms),
        final_through=reading.final_through,
    )


def compared_range(call: Call[CompareParams, NoBody]) -> Range:
    """Give both periods as one range. Raises InvalidValueError, as the answer does.

    One that has not elapsed goes on up to now: what it is compared with moves, so its answers are not kept.
    """
    periods = _periods(call, call.services.progress.as_of_ms)
    current = periods.current
    elapsed = current.end_ms == _asked_range(call.params, call.now_ms).end_ms
    return Range(periods.previous.start_ms, current.end_ms if elapsed else max(current.end_ms, call.now_ms))


def _periods(call: Call[CompareParams, NoBody], as_of_ms: int | None) -> Periods:
    counted_ms = call.now_ms if as_of_ms is None else min(call.now_ms, as_of_ms)
    return periods_of(_asked_range(call.params, call.now_ms), call.params.timezone, call.now_ms, counted_ms)


def _asked_range(asked: CompareParams, now_ms: int) -> Range:
    """Give the range; this month and this week may be asked for as wholes, whatever the granularity."""
    whole_month = asked.end <= bucket_end(now_ms, "month", asked.timezone)
    return whole_minutes(asked.start, asked.end, now_ms, "month" if whole_month else "week", asked.timezone)


def _period(span: Range, whole: Totals, zone: ZoneInfo) -> Period:
    return Period(rfc3339(span.start_ms, zone), rfc3339(span.end_ms, zone), whole.clicks, whole.unique_users)


def _series(
    call: Call[CompareParams, NoBody], reading: Reading, scope: Scope, periods: Periods
) -> tuple[list[ComparedRow], Totals, Totals]:
    """Give the buckets, the current period as one, and the previous one."""
    asked, span = call.params, periods.current
    if span.start_ms == span.end_ms:
        return [], Totals(0, 0), Totals(0, 0)
    found = buckets(span.start_ms, span.end_ms, asked.granularity, asked.timezone, call.now_ms)
    now, whole_now = _cells(
        call, scope, found.edges_ms, reading.sources_of_buckets(found, asked.granularity, asked.timezone)
    )
    opposite = [periods.counterpart_ms(edge_ms) for edge_ms in found.edges_ms]
    # Only some buckets have a counterpart: a day that the month before does not have stands at that month's end.
    places = {edge_ms: index for index, edge_ms in enumerate(dict.fromkeys(opposite))}
    edges_ms = tuple(places)
    before: dict[int, tuple[int, int]] = {}
    whole_before = Totals(0, 0)
    if len(edges_ms) > 1:
        before, whole_before = _cells(call, scope, edges_ms, reading.sources(edges_ms))
    all_before = (periods.previous.start_ms, periods.previous.end_ms)
    if all_before[0] < all_before[1] and all_before != (edges_ms[0], edges_ms[-1]):
        # Days that this period does not have: the 29th to the 31st of January beside a February.
        _, whole_before = _cells(call, scope, all_before, reading.sources(all_before))
    rows = []
    stamps, said = timestamps(found, asked.timezone), reading.of_buckets(found.edges_ms)
    for index, (stamp, finality, (from_ms, to_ms)) in enumerate(zip(stamps, said, pairwise(opposite), strict=True)):
        clicks, users = now.get(index, (0, 0))
        has_other = from_ms < to_ms
        other = before.get(places[from_ms], (0, 0))
        row = ComparedRow(
            timestamp=stamp,
            clicks=clicks,
            unique_users=users,
            previous_timestamp=rfc3339(from_ms, asked.timezone) if has_other else None,
            previous_clicks=other[0] if has_other else None,
            previous_unique_users=other[1] if has_other else None,
            status=finality.status,
        )
        rows.append(row)
    return rows, whole_now, whole_before


def _cells(
    call: Call[CompareParams, NoBody], scope: Scope, edges_ms: tuple[int, ...], sources: tuple[Source, ...]
) -> tuple[dict[int, tuple[int, int]], Totals]:
    """Give clicks and users by the index of the bucket, and those of all buckets together."""
    *rows, whole = call.services.reader.aggregate(scope.counted(edges_ms, sources, ("bucket",), totals=True))
    return {int(row.group[0]): (row.clicks, row.users) for row in rows}, totals_of(whole)


def _change(now: int, before: int) -> float | None:
    return round((now - before) / before, 4) if before else None
