"""What the writer of a spool and its drainer share: what is held back, and whether the log is known to be away."""

import threading
from collections import deque
from typing import TYPE_CHECKING

from adtally.telemetry import log

if TYPE_CHECKING:
    from adtally.event import Heartbeat


class Backlog:
    """Thread-safe. Times are UTC epoch ms, sizes are of payloads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: deque[tuple[int, int | None]] = deque()
        self._bytes = 0
        self.adopted_bytes = 0
        """That earlier starts left behind and which are not drained yet."""
        self.away = False
        """Whether the log is known not to take appends: clicks go straight to the spool."""
        self.unsaid: Heartbeat | None = None
        """A heartbeat that the log did not take; with it the log may be tried when nothing else is there."""
        self.closed = False

    @property
    def size_bytes(self) -> int:
        """Give the size of all that is held back."""
        return self._bytes + self.adopted_bytes

    @property
    def empty(self) -> bool:
        """Whether nothing of this start is held back."""
        return not self._records

    @property
    def oldest_ts_ms(self) -> int | None:
        """Give the time of the oldest event of this start that is held back."""
        with self._lock:
            return next((ts_ms for _, ts_ms in self._records if ts_ms is not None), None)

    def add(self, size: int, ts_ms: int | None) -> None:
        """Note that a record is held back; `ts_ms` is the time of its oldest event, if it has any."""
        with self._lock:
            self._records.append((size, ts_ms))
            self._bytes += size

    def drop(self, records: int) -> None:
        """Note that the first records are in the log."""
        with self._lock:
            for _ in range(records):
                self._bytes -= self._records.popleft()[0]

    def take_back(self, records: int) -> None:
        """Note that the last records could not be held back."""
        with self._lock:
            for _ in range(records):
                self._bytes -= self._records.pop()[0]

    def turn_away(self, reason: object) -> None:
        """Note that the log did not take an append."""
        if not self.away:
            self.away = True
            log.error("the event log does not take clicks: they are kept in the spool", error=str(reason))

    def turn_back(self) -> None:
        """Note that the log takes appends."""
        self.unsaid = None
        if self.away:
            self.away = False
            log.info("the event log takes clicks again", spooled_bytes=self.size_bytes)
