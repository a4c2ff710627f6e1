"""The time of a simulated world."""

import random

START_MS = 1_700_000_000_000


class SimulatedClock:
    """Implements Clock; starts anywhere in a minute."""

    def __init__(self, rnd: random.Random) -> None:
        self._now_ms = START_MS + rnd.randrange(60_000)
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
