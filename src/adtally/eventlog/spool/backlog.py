"""What the writer of a spool and its drainer share: what is held back, and whether the log is known to be away."""

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from adtally.eventlog.port import SpoolState
from adtally.eventlog.sqlite.segment import FRAME_BYTES, PAGE_BYTES
from adtally.telemetry import log

if TYPE_CHECKING:
    from adtally.event import Heartbeat

RUN_MS: Final = 1_000
"""Records are counted together while their events lie so close: a day's outage is no more than a list of seconds."""


def disk_bytes(payload_bytes: int) -> int:
    """Give about how much of the disk a record takes: its pages in the write-ahead log (measured; hardly ever more).

    Each commit writes whole pages, so a click alone takes many times its own size.
    """
    # A record that fills most of a page begins one of its own, and those above it are written again.
    pages = 2 + (payload_bytes >= PAGE_BYTES // 4) + payload_bytes // (PAGE_BYTES - 100)
    return FRAME_BYTES * pages


class _Run:
    """Records that follow each other: how many, how much of the disk they take, the time of the oldest event."""

    __slots__ = ("bytes", "oldest_ts_ms", "records")

    def __init__(self, records: int, size: int, oldest_ts_ms: int | None) -> None:
        self.records = records
        self.bytes = size
        self.oldest_ts_ms = oldest_ts_ms

    def takes(self, ts_ms: int | None) -> bool:
        """Whether a record of this time may be counted together with these."""
        if ts_ms is None or self.oldest_ts_ms is None:
            return ts_ms is None
        return 0 <= ts_ms - self.oldest_ts_ms < RUN_MS


class Backlog:
    """Thread-safe. Times are UTC epoch ms, sizes are of the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: deque[_Run] = deque()
        self._bytes = 0
        self.adopted_bytes = 0
        """That earlier starts left behind and which are not drained yet."""
        self.adopted_oldest_ts_ms: int | None = None
        """The time of the oldest event of those, as far as it was read."""
        self.drained_events = 0
        """That were moved into the log since the start; those of earlier starts too."""
        self.refused = False
        """Whether the spool had no room for what came last; until there is some again."""
        self.unreadable = False
        """Whether the drainer could not read what is held back, and so cannot try the log with it."""
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
        return not self._runs

    @property
    def state(self) -> SpoolState:
        """Give what the edge says about its spool."""
        times_ms = [time_ms for time_ms in (self.oldest_ts_ms, self.adopted_oldest_ts_ms) if time_ms is not None]
        return SpoolState(self.size_bytes, min(times_ms, default=None), self.drained_events, full=self.refused)

    @property
    def oldest_ts_ms(self) -> int | None:
        """Give a time that no event of this start is older than which is held back, and RUN_MS before one at most."""
        with self._lock:
            # Not simply the first: a clock that jumped back lets older ones follow.
            return min((run.oldest_ts_ms for run in self._runs if run.oldest_ts_ms is not None), default=None)

    def add(self, size: int, ts_ms: int | None) -> None:
        """Note that a record is held back; `ts_ms` is the time of its oldest event, if it has any."""
        with self._lock:
            self._bytes += size
            if self._runs and self._runs[-1].takes(ts_ms):
                self._runs[-1].records += 1
                self._runs[-1].bytes += size
            else:
                self._runs.append(_Run(1, size, ts_ms))

    def drop(self, records: int) -> None:
        """Note that the first records are in the log."""
        self.refused = False
        with self._lock:
            while records and self._runs:
                run = self._runs[0]
                number = min(records, run.records)
                records -= number
                # Of a part of a run the average is taken: the sum is right when the run is through.
                self._shrink(run, number, run.bytes * number // run.records)

    def take_back(self, size: int) -> None:
        """Note that the last record, which was added with this size, could not be held back."""
        with self._lock:
            run = self._runs[-1]
            self._shrink(run, 1, size if run.records > 1 else run.bytes)

    def let_go(self, adopted_bytes: int) -> None:
        """Note that a folder of an earlier start is gone, which was adopted with this size."""
        self.adopted_bytes -= adopted_bytes
        self.refused = False

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

    def _shrink(self, run: _Run, records: int, size: int) -> None:
        run.records -= records
        run.bytes -= size
        self._bytes -= size
        if not run.records:
            self._runs.remove(run)
