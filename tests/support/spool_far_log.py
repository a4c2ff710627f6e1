"""A log far away: it is silent, slow, takes a batch and does not say so, or takes it much later."""

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from adtally.errors import LogClosedError, LogError
from adtally.event import Control, Event, decode_event

Mood = Literal["up", "away", "slow", "mute", "partial", "late"]
MOODS: tuple[Mood, ...] = ("up", "away", "slow", "mute", "partial", "late")
SLOW_MS = 5_000


class Clock:
    """Implements adtally.clock.Clock."""

    def __init__(self) -> None:
        self.ms = 1_000_000
        self.passed_ms = 0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.passed_ms / 1_000

    def advance(self, ms: int) -> None:
        self.ms += ms
        self.passed_ms += ms


class Line(NamedTuple):
    """One thing that the log holds, in its order."""

    what: Event | Control
    origin: str
    """Which writer brought it; `late` where that was long after the writer had given it up."""


class FarLog:
    def __init__(self, clock: Clock, rnd: random.Random) -> None:
        self.lines: list[Line] = []
        self.mood: Mood = "up"
        self._clock = clock
        self._rnd = rnd
        self._underway: list[Event | Control] = []

    def take(self, things: Sequence[Event | Control], origin: str) -> None:
        """Append as the mood has it. Raises LogError where the writer cannot know."""
        if self.mood == "slow":
            self._clock.advance(SLOW_MS)
        taken = {"partial": self._rnd.randrange(len(things) + 1), "away": 0, "late": 0}.get(self.mood, len(things))
        self.lines += [Line(each, origin) for each in things[:taken]]
        if self.mood == "late":
            self._underway += things
        if self.mood not in ("up", "slow"):
            raise LogError(f"the log is {self.mood}")

    def deliver(self) -> None:
        """Let what is still under way arrive, or get lost."""
        self.lines += [Line(each, "late") for each in self._underway if self._rnd.random() < 0.5]
        self._underway.clear()


class FarWriter:
    """Implements LogWriter."""

    def __init__(self, log: FarLog, origin: str) -> None:
        self._log = log
        self._origin = origin
        self._closed = False

    def append(self, events: Sequence[bytes], now_ms: int) -> None:
        self._check_open()
        self._log.take([decode_event(event) for event in events], self._origin)

    def append_control(self, record: Control, now_ms: int) -> None:
        self._check_open()
        self._log.take([record], self._origin)

    def append_together(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        if events:
            self.append(events, now_ms)
        for record in records:
            self.append_control(record, now_ms)

    def close(self, closing: Control | None, now_ms: int) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise LogClosedError("the far log's writer is closed")
