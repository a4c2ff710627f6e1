"""How far the live numbers reach that another engine wrote: found from offsets and from what edges promise."""

from collections.abc import Mapping
from typing import Final, Protocol

from adtally.errors import LogError
from adtally.stream.heard import Promise
from adtally.stream.partition import CLOCKS_APART_MS
from adtally.telemetry import log

REPORT_MS: Final = 1_000
PANE_MS: Final = 2_000
"""What a checkpoint holds of unfinished panes is in the topic so long after it."""


class Promises(Protocol):
    """What edges promise of their clicks (heard.Listener)."""

    def listen(self, now_ms: int) -> Promise | None:
        """Read on; give the promise once the end is seen, None before. Raises LogError."""
        ...

    def commit(self) -> None:
        """Remember from where a restart hears all again. Raises LogError."""
        ...


class RowsRead(Protocol):
    """The part of LiveMessages that is needed here."""

    def reached(self) -> Mapping[int, int]:
        """Give the offset that is read next, by partition."""
        ...

    def ends(self) -> Mapping[int, int]:
        """Give the offset that is written next, by partition. Raises LogError."""
        ...


class JobProgress(Protocol):
    """How far the engine has come that writes the rows."""

    def committed(self) -> Mapping[int, int]:
        """Give the next offset of each partition of clicks, as the last checkpoint has it. Raises LogError."""
        ...

    def ends(self) -> Mapping[int, int]:
        """Give the end of each partition of clicks. Raises LogError."""
        ...


class AsOf:
    """Finds the time before which every event that is not late is in the store.

    What edges promise is heard, and then where clicks end is read. When the job's checkpoint has passed that, its last
    panes are waited for; when the rows' end, read then, is stored, all that was appended before the first reading is.
    Whatever edges do, what lies more than the lateness behind that reading is late.
    """

    def __init__(self, messages: RowsRead, progress: JobProgress, promises: Promises, lateness_ms: int) -> None:
        self._messages = messages
        self._progress = progress
        self._promises = promises
        self._lateness_ms = lateness_ms
        self._asked_ms = 0
        self._target: tuple[int, Mapping[int, int]] | None = None
        self._flushed_ms: int | None = None
        self._rows_end: Mapping[int, int] | None = None
        self.as_of_ms = 0
        self.positions: Mapping[int, int] = {}
        """The offset that the job reads next, by partition: of all partitions of clicks there are."""

    def step(self, now_ms: int) -> None:
        """Look on, about once a second. Everything that was read must be in the store."""
        if 0 <= now_ms - self._asked_ms < REPORT_MS:
            return
        self._asked_ms = now_ms
        try:
            self._look(now_ms)
        except LogError as error:
            log.warning("how far the live count has come is not known now", error=str(error))

    def _look(self, now_ms: int) -> None:
        committed = self._progress.committed()
        if self._target is None:
            # In this order: a promise is about clicks that were appended before it.
            bound_ms = self._bound_ms(now_ms)
            self._target = (bound_ms, self._progress.ends())
        bound_ms, clicks_end = self._target
        # The job commits nothing for a partition that never held a click.
        self.positions = {number: committed.get(number, 0) for number in clicks_end}
        if self._flushed_ms is None:
            if not _passed(committed, clicks_end):
                return
            self._flushed_ms = now_ms + PANE_MS
        if self._rows_end is None:
            if now_ms < self._flushed_ms:
                return
            self._rows_end = self._messages.ends()
        if _passed(self._messages.reached(), self._rows_end):
            self.as_of_ms = max(self.as_of_ms, bound_ms)
            self._target, self._flushed_ms, self._rows_end = None, None, None

    def _bound_ms(self, now_ms: int) -> int:
        promise = self._promises.listen(now_ms)
        self._promises.commit()
        return max(now_ms - CLOCKS_APART_MS - self._lateness_ms, promise.bound_ms if promise is not None else 0)


def _passed(reached: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(reached.get(partition, 0) >= end for partition, end in ends.items())
