"""Holds what was counted against what was sent: a comparison of values, no network."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from adtally.counting import DEDUP_WINDOW_MS, MINUTE_MS, minute_of
from adtally.traffic.oracle import CLOCK_SLACK_MS, LINGER_MS, Bounds, Groups, Sighting
from adtally.traffic.plan import PERSONAL
from adtally.traffic.truth import TruthLine

Cell = tuple[str, int]
"""An ad's id and the start of a minute in epoch milliseconds."""

REDIRECT: Final = 302


class Quality(msgspec.Struct, frozen=True):
    """What `/v1/quality` says of a range: received = counted + duplicate + invalid."""

    received: int
    counted: int
    duplicate: int
    invalid: int


class Expectation(msgspec.Struct, frozen=True):
    """What a truth allows. Times are epoch milliseconds; the range holds whole minutes and every event."""

    start_ms: int
    end_ms: int
    last_ms: int
    """No event is later: numbers as of a later time are complete."""
    sent: int
    acknowledged: int
    """Answered by a 302 that promised the request is kept."""
    unknown: int
    """Nobody knows whether they were recorded."""
    cells: Mapping[Cell, Bounds]
    ads: Mapping[str, Bounds]
    received: Bounds
    invalid: Bounds

    @property
    def exact(self) -> bool:
        """Tell whether only one number is possible everywhere."""
        return all(bounds.least == bounds.most for bounds in (*self.cells.values(), *self.ads.values()))


class Difference(msgspec.Struct, frozen=True):
    """A number that cannot be. `minute_ms` is None for a sum over all minutes, `ad_id` for one over all ads."""

    measure: Literal["clicks", "received", "counted", "invalid"]
    ad_id: str | None
    minute_ms: int | None
    found: int
    least: int
    most: int


class Verification(msgspec.Struct, frozen=True):
    """The comparison's result: everything agrees if there are no differences."""

    sent: int
    acknowledged: int
    unknown: int
    counted: int
    duplicate: int | None
    """As `/v1/quality` says; None where it was not asked."""
    invalid: int | None
    lost: int
    """Clicks that had to be counted and were not, minute by minute."""
    doubled: int
    """Clicks that were counted and could not be."""
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Tell whether what was counted is what was sent."""
        return not self.differences


def expect(lines: Iterable[TruthLine], window_ms: int = DEDUP_WINDOW_MS) -> Expectation:
    """Give what the truth allows to be counted (see `oracle` for the reasoning).

    Raises TruthFileError for a malformed `X-Click-Event`.
    """
    groups = Groups()
    sent = acknowledged = unknown = invalid_certain = invalid_perhaps = 0
    first_ms, last_ms = None, 0
    for line in lines:
        sent += 1
        sighting = _sighting(line)
        if sighting is None:
            continue
        acknowledged += sighting.certain
        unknown += not sighting.certain
        first_ms = sighting.first_ms if first_ms is None else min(first_ms, sighting.first_ms)
        last_ms = max(last_ms, sighting.last_ms)
        if line.kind in PERSONAL:
            groups.add(line.ad_id, line.user_id, line.impression_id, sighting)
        else:
            invalid_certain += sighting.certain
            invalid_perhaps += not sighting.certain
    cells: dict[Cell, Bounds] = {}
    ads: dict[str, Bounds] = {}
    nothing = Bounds(0, 0)
    for ad_id, bounds in groups.bounds(window_ms):
        ads[ad_id] = _plus(ads.get(ad_id, nothing), bounds.total)
        for minute, inside in bounds.minutes.items():
            cells[ad_id, minute] = _plus(cells.get((ad_id, minute), nothing), inside)
    return Expectation(
        start_ms=minute_of(first_ms or 0),
        end_ms=minute_of(last_ms) + MINUTE_MS,
        last_ms=last_ms,
        sent=sent,
        acknowledged=acknowledged,
        unknown=unknown,
        cells=cells,
        ads=ads,
        received=Bounds(acknowledged, acknowledged + unknown),
        invalid=Bounds(invalid_certain, invalid_certain + invalid_perhaps),
    )


def compare(expectation: Expectation, counted: Mapping[Cell, int], quality: Quality | None = None) -> Verification:
    """Compare clicks by (ad, minute) over the expectation's range, and the quality numbers of the same range if given.

    Cells without clicks may be absent from `counted`. Clicks of ads that were never sent are differences too.
    """
    wrong = list(_wrong_cells(expectation, counted))
    lost = sum(max(difference.least - difference.found, 0) for difference in wrong)
    doubled = sum(max(difference.found - difference.most, 0) for difference in wrong)
    seen = {difference.ad_id for difference in wrong}
    by_ad = dict.fromkeys(expectation.ads, 0)
    for (ad_id, _), clicks in counted.items():
        by_ad[ad_id] = by_ad.get(ad_id, 0) + clicks
    for ad_id, bounds in sorted(expectation.ads.items()):
        # An ad whose minutes are wrong was reported with them.
        if ad_id not in seen and not bounds.hold(by_ad[ad_id]):
            wrong.append(_difference("clicks", by_ad[ad_id], bounds, ad_id))
            lost += max(bounds.least - by_ad[ad_id], 0)
            doubled += max(by_ad[ad_id] - bounds.most, 0)
    total = sum(counted.values())
    if quality is not None:
        wrong += _wrong_quality(expectation, quality, total)
    return Verification(
        sent=expectation.sent,
        acknowledged=expectation.acknowledged,
        unknown=expectation.unknown,
        counted=total,
        duplicate=None if quality is None else quality.duplicate,
        invalid=None if quality is None else quality.invalid,
        lost=lost,
        doubled=doubled,
        differences=tuple(wrong),
    )


def _sighting(line: TruthLine) -> Sighting | None:
    """Give when the attempt's event was recorded, None if it certainly was not."""
    if line.status is None:
        return Sighting(line.sent_ms - CLOCK_SLACK_MS, line.ended_ms + LINGER_MS, False)
    if line.status != REDIRECT:
        return None
    event = line.event_ref()
    if event is not None:
        return Sighting(event.ts_ms, event.ts_ms, line.recorded)
    return Sighting(line.sent_ms - CLOCK_SLACK_MS, line.ended_ms + CLOCK_SLACK_MS, line.recorded)


def _wrong_cells(expectation: Expectation, counted: Mapping[Cell, int]) -> Iterable[Difference]:
    nothing = Bounds(0, 0)
    for cell in sorted(expectation.cells.keys() | counted.keys()):
        bounds = expectation.cells.get(cell, nothing)
        clicks = counted.get(cell, 0)
        if not bounds.hold(clicks):
            yield _difference("clicks", clicks, bounds, *cell)


def _wrong_quality(expectation: Expectation, quality: Quality, counted: int) -> Iterable[Difference]:
    if not expectation.received.hold(quality.received):
        yield _difference("received", quality.received, expectation.received)
    if not expectation.invalid.hold(quality.invalid):
        yield _difference("invalid", quality.invalid, expectation.invalid)
    # Nothing is dropped silently (design section 2), and both answers tell of the same clicks.
    for number in (quality.received - quality.duplicate - quality.invalid, quality.counted):
        if number != counted:
            yield _difference("counted", number, Bounds(counted, counted))


def _difference(
    measure: Literal["clicks", "received", "counted", "invalid"],
    found: int,
    bounds: Bounds,
    ad_id: str | None = None,
    minute_ms: int | None = None,
) -> Difference:
    return Difference(measure, ad_id, minute_ms, found, bounds.least, bounds.most)


def _plus(one: Bounds, other: Bounds) -> Bounds:
    return Bounds(one.least + other.least, one.most + other.most)
