"""The time of a simulated world."""

import random
from typing import Protocol

START_MS = 1_700_000_000_000


MONTHS_END_MS = 1_701_367_200_000
"""2023-11-30T18:00:00Z: within hours a day ends, and a month."""
EVENING_MS = 6 * 3_600_000


class TimeOfDay(Protocol):
    """A clock whose time passes when its reader says so."""

    def now_ms(self) -> int:
        """Give the time of day, in UTC epoch milliseconds."""
        ...

    def monotonic_s(self) -> float:
        """Give seconds that never go back."""
        ...

    def advance(self, ms: int) -> None:
        """Let time pass."""
        ...


class SimulatedClock:
    """Implements Clock; starts anywhere in a minute, or, with `month_ends`, in the last evening of a month."""

    def __init__(self, rnd: random.Random, *, month_ends: bool = False) -> None:
        self.origin_ms = MONTHS_END_MS if month_ends else START_MS
        self._now_ms = self.origin_ms + rnd.randrange(EVENING_MS if month_ends else 60_000)
        self._passed_ms = 0
        self._latest_ms = self._now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._passed_ms / 1_000

    def advance(self, ms: int) -> None:
        self._now_ms += ms
        self._passed_ms += ms
        self._latest_ms = max(self._latest_ms, self._now_ms)

    def set_back(self, ms: int) -> None:
        self._now_ms -= ms

    def go_beyond(self, ms: int) -> None:
        """Go on until it is `ms` later than it ever was."""
        self.advance(self._latest_ms + ms - self._now_ms)


class SkewedClock:
    """The same time as another host's clock shows it: `offset_ms` later."""

    def __init__(self, clock: SimulatedClock, offset_ms: int) -> None:
        self._clock = clock
        self._offset_ms = offset_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._offset_ms

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def advance(self, ms: int) -> None:
        self._clock.advance(ms)
