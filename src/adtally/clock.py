"""The only place that reads a clock. Everything else is handed a Clock or a `now`."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a role gets its time from; a test hands in one that it moves by itself."""

    def now_ms(self) -> int:
        """Give UTC epoch milliseconds. May jump, in both directions."""
        ...

    def monotonic_s(self) -> float:
        """Give seconds from an arbitrary start. Never decreases."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Give UTC epoch milliseconds."""
        return time.time_ns() // 1_000_000  # noqa: TID251 - this is the one place

    def monotonic_s(self) -> float:
        """Give seconds since an arbitrary start."""
        return time.monotonic()  # noqa: TID251 - this is the one place


SYSTEM_CLOCK = SystemClock()
