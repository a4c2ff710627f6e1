"""What must have been counted, computed from the truth file alone and written unlike any of the engines.

**Known attempts.** An attempt whose 302 promised that it is kept, and told `X-Click-Event`, was recorded at a known
`ts_ms`. Where all attempts are like that, design section 3 gives one number for each (ad, minute).

**Unknown attempts.** Where no answer came, or a 302 with `X-Click-Recorded: false` (the log may have taken the batch in
the very moment in which it was given up), the event may be in the log or not. If it is, its `ts_ms` lies between
sending (less `CLOCK_SLACK_MS`) and the end of its connection (plus `LINGER_MS`, for a worker that had the request
already). A 302 without `X-Click-Event` is recorded for certain, at a time between sending and answer. An unknown event
does more than add one: by coming first it can make a known one a duplicate, and so move a click to another minute; by
lying between two known ones it can chain them together, and so remove a click.

**Bounds.** Attempts can influence each other only if ad, user and impression id (or its absence) are the same. Such a
group is small, so its histories are enumerated: each unknown event absent or present, each uncertain time at every
place that makes a difference. Each history is counted by the plain rule; the least and the most of each minute, and of
all minutes together, are the group's bounds. Groups are independent, so the sums of their bounds are exactly the least
and the most that a minute, and an ad, can have: acknowledged ⊆ counted ⊆ sent, and equality where all is known.

**Places that make a difference.** Within a group a click's fate depends only on its minute, on its order among the
others, and on whether their distance is less than the window. These are constraints of the form t_i - t_j <= c with c
among 0, -1, -window, window - 1, and t_i <= a minute's last millisecond. If such a system has a solution at all, the
shortest paths of its constraint graph are one (Cormen et al., Introduction to Algorithms, section on difference
constraints), and those are an upper bound (of a time's interval, or a minute's end) plus at most as many such c as
there are uncertain times. So these places suffice. Order among equal times, which `edge_id` and `seq` decide, changes
which of the events is the click, but not how many there are in which minute.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Final

import msgspec

from adtally.counting import DEDUP_WINDOW_MS, MINUTE_MS, minute_of

CLOCK_SLACK_MS: Final = 1_000
"""An edge keeps its time through backward jumps of up to a second (design section 3)."""

LINGER_MS: Final = 5_000
"""A worker that is silent for longer is killed (design section 4)."""

HISTORIES_MAX: Final = 4_096
"""Above this a group gets bounds that are right, but wider than they need be."""


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """One event of a group: it has its time in [first_ms, last_ms], and is in the log for certain or perhaps."""

    first_ms: int
    last_ms: int
    certain: bool


class Bounds(msgspec.Struct, frozen=True):
    """The least and the most that a number may be."""

    least: int
    most: int

    def hold(self, number: int) -> bool:
        """Tell whether `number` is possible."""
        return self.least <= number <= self.most


class GroupBounds(msgspec.Struct, frozen=True):
    """Clicks of one group, by the minutes (epoch milliseconds) in which it may have one, and in all."""

    minutes: dict[int, Bounds]
    total: Bounds


def count_clicks(times_ms: Iterable[int], by_minute: bool, window_ms: int = DEDUP_WINDOW_MS) -> dict[int, int]:
    """Count one group's events by the rule: the clicks of each minute, minutes without any left out.

    `by_minute`: the events have no impression id, so that the minute is part of their click id.
    """
    counts: dict[int, int] = {}
    before: dict[int, int] = {}
    for ts_ms in sorted(set(times_ms)):
        minute = minute_of(ts_ms)
        click = minute if by_minute else 0
        previous_ms = before.get(click)
        if previous_ms is None or ts_ms - previous_ms >= window_ms:
            counts[minute] = counts.get(minute, 0) + 1
        before[click] = ts_ms
    return counts


def group_bounds(sightings: Sequence[Sighting], by_minute: bool, window_ms: int = DEDUP_WINDOW_MS) -> GroupBounds:
    """Give the bounds of one group (see the module's text for why they are right)."""
    places = _places(sightings, by_minute, window_ms)
    choices: list[Sequence[int | None]] = [
        at if sighting.certain else (None, *at) for sighting, at in zip(sightings, places, strict=True)
    ]
    if prod(map(len, choices)) > HISTORIES_MAX:
        return _wide_bounds(sightings, by_minute)
    histories = [
        count_clicks((at for at in history if at is not None), by_minute, window_ms)
        for history in set(product(*choices))
    ]
    totals = [sum(counts.values()) for counts in histories]
    minutes = {minute for counts in histories for minute in counts}
    return GroupBounds(
        {minute: _range(counts.get(minute, 0) for counts in histories) for minute in minutes}, _range(totals)
    )


def _places(sightings: Sequence[Sighting], by_minute: bool, window_ms: int) -> list[list[int]]:
    """Give for each event the times at which it has to be tried."""
    reachable = {sighting.last_ms for sighting in sightings}
    for sighting in sightings:
        reachable.update(range(minute_of(sighting.first_ms) + MINUTE_MS - 1, sighting.last_ms, MINUTE_MS))
    # Without an impression id only the minute matters: one time in each will do.
    uncertain = 0 if by_minute else sum(sighting.first_ms != sighting.last_ms for sighting in sightings)
    newest = reachable
    for _ in range(uncertain):
        steps = {at + step for at in newest for step in (0, -1, -window_ms, window_ms - 1)}
        newest = {at for at in steps - reachable if any(s.first_ms <= at <= s.last_ms for s in sightings)}
        reachable = reachable | newest
    return [[at for at in reachable if s.first_ms <= at <= s.last_ms] for s in sightings]


def _wide_bounds(sightings: Sequence[Sighting], by_minute: bool) -> GroupBounds:
    """Bounds without looking at histories: a window is at least a minute long, so a minute has one click at most."""
    minutes: dict[int, Bounds] = {}
    for sighting in sightings:
        first, last = minute_of(sighting.first_ms), minute_of(sighting.last_ms)
        sure = int(by_minute and sighting.certain and first == last)
        for minute in range(first, last + 1, MINUTE_MS):
            least = minutes[minute].least if minute in minutes else 0
            minutes[minute] = Bounds(max(least, sure), 1)
    once = int(any(sighting.certain for sighting in sightings))
    least = max(once, sum(bounds.least for bounds in minutes.values()))
    return GroupBounds(minutes, Bounds(least, len(sightings)))


def _range(numbers: Iterable[int]) -> Bounds:
    listed = list(numbers)
    return Bounds(min(listed), max(listed))


class Groups:
    """Collects the events of all groups, small: one number for a group that has one event of a known time."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, int | list[Sighting]]] = {}

    def add(self, ad_id: str, user_id: str, impression_id: str | None, sighting: Sighting) -> None:
        """Note an event that is `ok` if it is there. Ids hold no control characters."""
        key = user_id if impression_id is None else f"{user_id}\0{impression_id}"
        groups = self._groups.setdefault(ad_id, {})
        there = groups.get(key)
        if there is None:
            exact = sighting.certain and sighting.first_ms == sighting.last_ms
            groups[key] = sighting.first_ms if exact else [sighting]
        elif isinstance(there, int):
            groups[key] = [Sighting(there, there, True), sighting]
        else:
            there.append(sighting)

    def bounds(self, window_ms: int = DEDUP_WINDOW_MS) -> Iterator[tuple[str, GroupBounds]]:
        """Give the bounds of each group with its ad id."""
        one = Bounds(1, 1)
        for ad_id, groups in self._groups.items():
            for key, there in groups.items():
                if isinstance(there, int):
                    yield ad_id, GroupBounds({minute_of(there): one}, one)
                else:
                    yield ad_id, group_bounds(there, "\0" not in key, window_ms)
