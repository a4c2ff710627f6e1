"""What the ledger says of every hour, kept in memory, and brought up to date by each question. Thread-safe."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from threading import Lock

import msgspec

from adtally.ledger.port import HourState, Ledger, LineSummary
from adtally.serve.finality import Finality, finality_of
from adtally.utc import HOUR_MS


class Standing(msgspec.Struct, frozen=True):
    """The ledger as of one line. Numbers are sums over the newest lines of all hours."""

    commit: int
    """The number of the last line that is in here, 0 without any."""
    finality: Finality
    hours: Mapping[HourState, int]
    missing: int
    difference: int
    lines: tuple[tuple[int, int], ...]
    """Of each hour that has a line, in order: its start and the newest line's number."""

    def commit_between(self, start_ms: int, end_ms: int) -> int:
        """Give the number of the last line about an hour that [start_ms, end_ms) touches, 0 if there is none."""
        first = bisect_left(self.lines, (start_ms - start_ms % HOUR_MS,))
        return max((commit for _, commit in self.lines[first : bisect_left(self.lines, (end_ms,))]), default=0)


class LedgerWatch:
    """Follows a ledger: only lines that are new are read."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._newest: dict[int, LineSummary] = {}
        self._standing = _standing(0, {})

    def look(self) -> Standing:
        """Give what the ledger says now. Raises StoreUnavailableError."""
        with self._lock:
            new = self._ledger.summaries(self._standing.commit)
            if new:
                self._newest |= {line.hour_ms: line for line in new}
                self._standing = _standing(new[-1].commit, self._newest)
            return self._standing


def _standing(commit: int, newest: Mapping[int, LineSummary]) -> Standing:
    lines = newest.values()
    return Standing(
        commit=commit,
        finality=finality_of(newest),
        hours=Counter(line.state for line in lines),
        missing=sum(line.missing for line in lines),
        difference=sum(line.difference for line in lines),
        lines=tuple(sorted((line.hour_ms, line.commit) for line in lines)),
    )
