"""Lets through the events of one partition that are live: near the log's time, and each of them once.

It remembers which numbers it has seen of each edge for as long as a repetition could still be let through, and exactly
so long as the log's time says. So what it does is a function of the log alone, and its memory is bounded by the rate
and the lateness: eight bytes an event, for three to four minutes by default.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from adtally.counting import MINUTE_MS
from adtally.event import Event

GENERATION_MS: Final = MINUTE_MS // 2
NUMBERS_MAX: Final = 1 << 62
"""No edge counts so far. What pretends to goes the slow way, for it would not fit into an array."""


class _Generation(NamedTuple):
    """The numbers of one edge that were seen during a part of the log's time."""

    end_ms: int
    ascending: "array[int]"
    strays: set[int]
    """Those that came behind a greater one."""

    def holds(self, seq: int) -> bool:
        place = bisect_left(self.ascending, seq)
        return (place < len(self.ascending) and self.ascending[place] == seq) or seq in self.strays


class _Edge:
    """What was seen of one edge."""

    __slots__ = ("ascending", "closed", "newest", "strays")

    def __init__(self) -> None:
        self.newest = 0
        self.ascending: array[int] = array("q")
        self.strays: set[int] = set()
        self.closed: deque[_Generation] = deque()

    def is_new(self, seq: int) -> bool:
        """Take note of a number; False if it was seen before."""
        current = _Generation(0, self.ascending, self.strays)
        if current.holds(seq) or any(generation.holds(seq) for generation in self.closed):
            return False
        if self.newest < seq < NUMBERS_MAX:
            self.newest = seq
            self.ascending.append(seq)
        else:
            self.strays.add(seq)
        return True

    def turn(self, log_ms: int, forgotten_ms: int) -> bool:
        """Begin a new generation and forget those that ended before `forgotten_ms`; False if nothing is left."""
        if self.ascending or self.strays:
            self.closed.append(_Generation(log_ms, self.ascending, self.strays))
            self.ascending, self.strays = array("q"), set()
        while self.closed and self.closed[0].end_ms < forgotten_ms:
            self.closed.popleft()
        return bool(self.closed)


class Sieve:
    """Sifts one partition, in its order."""

    def __init__(self, lateness_ms: int, ahead_ms: int) -> None:
        self._lateness_ms: Final = lateness_ms
        self._ahead_ms: Final = ahead_ms
        self._edges: dict[str, _Edge] = {}
        self._turned_ms = 0
        self.late = 0
        """Events too far behind the log's time, or ahead of it."""
        self.repeats = 0
        """Events that were let through before."""

    def sift(self, events: list[Event], log_ms: list[int]) -> tuple[list[Event], list[int]]:
        """Give the events that are live, and the log's time at each, from all events and times in their order."""
        if not events:
            return events, log_ms
        times = [event.ts_ms for event in events]
        # The log's time ascends: of a batch near enough to both its ends no event needs a look of its own.
        if min(times) < log_ms[-1] - self._lateness_ms or max(times) > log_ms[0] + self._ahead_ms:
            events, log_ms = self._near(events, log_ms)
        repeats = self._repeats(events)
        if repeats:
            self.repeats += len(repeats)
            events = [event for place, event in enumerate(events) if place not in repeats]
            log_ms = [at_ms for place, at_ms in enumerate(log_ms) if place not in repeats]
        if log_ms and log_ms[-1] >= self._turned_ms + GENERATION_MS:
            self._turn(log_ms[-1])
        return events, log_ms

    def _near(self, events: Sequence[Event], log_ms: Sequence[int]) -> tuple[list[Event], list[int]]:
        lateness, ahead = self._lateness_ms, self._ahead_ms
        near = [
            (event, at_ms)
            for event, at_ms in zip(events, log_ms, strict=True)
            if at_ms - lateness <= event.ts_ms <= at_ms + ahead
        ]
        self.late += len(events) - len(near)
        return [event for event, _ in near], [at_ms for _, at_ms in near]

    def _repeats(self, events: Sequence[Event]) -> set[int]:
        """Give the places of events that were seen before; take note of all others."""
        edges, repeats = self._edges, set[int]()
        for place, event in enumerate(events):
            seq = event.seq
            edge = edges.get(event.edge_id)
            if edge is None:
                edge = edges[event.edge_id] = _Edge()
            # An edge's numbers ascend but for spools and repetitions.
            if edge.newest < seq < NUMBERS_MAX:
                edge.newest = seq
                edge.ascending.append(seq)
            elif not edge.is_new(seq):
                repeats.add(place)
        return repeats

    def _turn(self, log_ms: int) -> None:
        self._turned_ms = log_ms
        # What was let through before that is late by now, a repetition of it too.
        forgotten_ms = log_ms - self._lateness_ms - self._ahead_ms
        self._edges = {name: edge for name, edge in self._edges.items() if edge.turn(log_ms, forgotten_ms)}
