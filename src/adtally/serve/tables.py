"""Which table answers for which part of a range: live where an hour is open, else the coarsest that fits. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from adtally.counting import MINUTE_MS
from adtally.olap.cells import partition_of
from adtally.olap.port import Grain, Source, Table
from adtally.serve.finality import Finality, Run
from adtally.utc import DAY_MS

QUARTER_HOUR_MS: Final = 15 * MINUTE_MS

Built = Mapping[Grain, Collection[int]]
"""The starts of the days and months that were published and still hold what the hours below them do."""


class Kept(msgspec.Struct, frozen=True):
    """From when on retention has left the final minutes and quarter hours; it never removes days and months."""

    minutes_from_ms: int
    quarter_hours_from_ms: int


def kept_at(now_ms: int, minute_days: int, quarter_hour_days: int) -> Kept:
    """Give what is kept: partitions go as wholes, when all that they hold is too old."""
    return Kept(
        partition_of("minute", now_ms - minute_days * DAY_MS),
        partition_of("quarter_hour", now_ms - quarter_hour_days * DAY_MS),
    )


def fitting_grains(edges_ms: Sequence[int]) -> tuple[Grain, ...]:
    """Give the tables above the minutes, coarsest first, none of whose cells an edge between two buckets cuts."""
    inside = edges_ms[1:-1]
    return tuple(grain for grain, fits in _FITS.items() if all(map(fits, inside)))


def plan(edges_ms: Sequence[int], finality: Finality, built: Built) -> tuple[Source, ...]:
    """Give the sources of the buckets whose whole-minute edges these are: adjoining, and covering the range.

    Ragged ends of the range come from finer tables. Nothing is said about whether retention has left what they hold.
    """
    grains = fitting_grains(edges_ms)
    sources: list[Source] = []
    for part in _parts(finality.between(edges_ms[0], edges_ms[-1])):
        sources += [part] if part.table == "live" else _fill(part.start_ms, part.end_ms, grains, built)
    return tuple(sources)


def first_gone(sources: Sequence[Source], kept: Kept, first_ms: int | None) -> Source | None:
    """Give the first source that reaches into what retention has removed, None if all is there.

    `first_ms` is the ledger's first hour: before it there was nothing to remove.
    """
    for source in sources:
        begin_ms = max(source.start_ms, first_ms or 0)
        if begin_ms < source.end_ms and begin_ms < _kept_from(source.table, kept):
            return source
    return None


def _kept_from(table: Table, kept: Kept) -> int:
    if table == "minute":
        return kept.minutes_from_ms
    return kept.quarter_hours_from_ms if table == "quarter_hour" else 0


def _parts(runs: Iterable[Run]) -> Iterator[Source]:
    """Give the stretches that the live table answers for, and those that it does not, as of final minutes."""
    return _joined(Source("live" if run.held == "live" else "minute", run.start_ms, run.end_ms) for run in runs)


def _fill(start_ms: int, end_ms: int, grains: Sequence[Grain], built: Built) -> Iterator[Source]:
    """Cover final minutes by the coarsest of `grains`, and by finer ones what that leaves."""
    if not grains:
        yield Source("minute", start_ms, end_ms)
        return
    at_ms = start_ms
    for found in _stretches(grains[0], start_ms, end_ms, built):
        if at_ms < found.start_ms:
            yield from _fill(at_ms, found.start_ms, grains[1:], built)
        yield found
        at_ms = found.end_ms
    if at_ms < end_ms:
        yield from _fill(at_ms, end_ms, grains[1:], built)


def _stretches(grain: Grain, start_ms: int, end_ms: int, built: Built) -> Iterator[Source]:
    """Give what a table can answer for, adjoining cells joined."""
    if grain == "quarter_hour":
        first_ms = _first_of(start_ms, QUARTER_HOUR_MS)
        last_ms = end_ms - end_ms % QUARTER_HOUR_MS
        if first_ms < last_ms:
            yield Source(grain, first_ms, last_ms)
        return
    held = built.get(grain, ())
    cells = _days(start_ms, end_ms) if grain == "day" else _months(start_ms, end_ms)
    yield from _joined(Source(grain, *cell) for cell in cells if cell[0] in held)


def _joined(sources: Iterable[Source]) -> Iterator[Source]:
    """Make one of adjoining sources of the same table."""
    last: Source | None = None
    for source in sources:
        if last is not None and (last.table, last.end_ms) == (source.table, source.start_ms):
            last = Source(last.table, last.start_ms, source.end_ms)
            continue
        if last is not None:
            yield last
        last = source
    if last is not None:
        yield last


def _days(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """Give beginning and end of each UTC day that lies inside."""
    for day_ms in range(_first_of(start_ms, DAY_MS), end_ms - DAY_MS + 1, DAY_MS):
        yield day_ms, day_ms + DAY_MS


def _months(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """Give beginning and end of each UTC month that lies inside."""
    at = datetime.fromtimestamp(start_ms // 1000, UTC)
    month = at.year * 12 + at.month - 1
    if _month_ms(month) < start_ms:
        month += 1
    while (after_ms := _month_ms(month + 1)) <= end_ms:
        yield _month_ms(month), after_ms
        month += 1


def _month_ms(month: int) -> int:
    """Give where the month begins that is the `month`-th since January of the year 0."""
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1000


def _first_of(start_ms: int, cell_ms: int) -> int:
    return -(-start_ms // cell_ms) * cell_ms


def _begins_month(ts_ms: int) -> bool:
    return ts_ms % DAY_MS == 0 and datetime.fromtimestamp(ts_ms // 1000, UTC).day == 1


_FITS: Final[Mapping[Grain, Callable[[int], bool]]] = {
    "month": _begins_month,
    "day": lambda ts_ms: ts_ms % DAY_MS == 0,
    "quarter_hour": lambda ts_ms: ts_ms % QUARTER_HOUR_MS == 0,
}
