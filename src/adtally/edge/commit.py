"""Group commit as a state machine: no thread, no loop, no clock, so that a simulation can drive it (design section 1).

What is added goes to the log in the order of adding, one batch at a time. What could not be kept leaves a gap in the
numbers; the gap keeps its place in the order and is logged as a Lost record once the log works again.
"""

from collections import deque
from typing import Final, Generic, TypeVar

import msgspec

from adtally.errors import LogError
from adtally.event import Control, Heartbeat, Lost

W = TypeVar("W")

FAILURES_BEFORE_PAUSE: Final = 2
"""The first retry comes at once, because a writer that failed has a fresh segment ready; the next ones wait."""

WAIT_SHARE: Final = 0.6
"""Of its time, that an event may be expected to wait for those before it: the rest is for its own batch."""
SMOOTHING: Final = 0.25
"""How much the last full batch says about the next ones."""


class Entry(msgspec.Struct, Generic[W], gc=False):
    """One event on its way into the log. `waiter` is None once it was answered without waiting any longer."""

    encoded: bytes
    edge_id: str
    seq: int
    ts_ms: int
    waiter: W | None
    deadline_s: float


class Outcome(msgspec.Struct, Generic[W], frozen=True):
    """Waiters that are to be answered now: their events are kept, or cannot be claimed to be."""

    recorded: bool
    waiters: list[W]


class GroupCommit(Generic[W]):
    """The queue in front of the log: at most one batch is outstanding, a list of entries or one control record.

    Times are seconds of one monotonic clock. `pending_max` bounds the events that wait, `batch_max` those of a batch;
    after `timeout_s` an event's waiter is answered; a log that failed twice is tried again after `retry_s`.
    """

    def __init__(self, pending_max: int, batch_max: int, timeout_s: float, retry_s: float) -> None:
        self._pending_max = pending_max
        self._batch_max = batch_max
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._queue: deque[list[Entry[W]] | Control] = deque()
        self._outstanding: list[Entry[W]] | Control | None = None
        self._outstanding_since_s = 0.0
        self._riding: Lost | None = None
        self._failures = 0
        self._retry_at_s = 0.0
        self._full_append_s = 0.0
        self._limit = pending_max
        # So many events may wait now. Once one was turned away, all are until less than a batch waits: losses in
        # between would each part a batch in two.
        self._room = pending_max
        self._refill = min(batch_max, pending_max)
        self._turning_away = False
        self.pending = 0
        """Events in the queue and in the outstanding batch."""

    @property
    def outstanding(self) -> bool:
        """Whether a batch was taken and not finished."""
        return self._outstanding is not None

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nothing is outstanding."""
        return self._outstanding is None and not self._queue

    def healthy(self, now_s: float) -> bool:
        """Whether the last batch was kept, and the outstanding one, if any, is not overdue."""
        overdue = self._outstanding is not None and now_s - self._outstanding_since_s > self._timeout_s
        return self._failures == 0 and not overdue

    @property
    def behind(self) -> bool:
        """Whether events are turned away, or soon will be, because the log takes them more slowly than they come."""
        return self._turning_away or 2 * self.pending >= self._limit

    def add(self, encoded: bytes, edge_id: str, seq: int, ts_ms: int, waiter: W, now_s: float) -> bool:
        """Queue an event. False if too many wait: then its number is noted as lost, and the waiter is the caller's.

        Too many are `pending_max`, or more than the log takes in `WAIT_SHARE` of `timeout_s`.
        """
        if self.pending >= self._room:
            self._turning_away, self._room = True, self._refill
            self._append_control(Lost(edge_id, seq, seq, ts_ms))
            return False
        self.pending += 1
        entry = Entry(encoded, edge_id, seq, ts_ms, waiter, now_s + self._timeout_s)
        queue = self._queue
        if queue and type(queue[-1]) is list:
            queue[-1].append(entry)
        else:
            queue.append([entry])
        return True

    def add_control(self, record: Control) -> None:
        """Queue a control record behind all events that were added before. One waiting heartbeat is enough."""
        if isinstance(record, Heartbeat):
            items, self._queue = self._queue, deque()
            for item in items:
                if not isinstance(item, Heartbeat):
                    self._append(item)
        self._append_control(record)

    def take_batch(self, now_s: float) -> list[Entry[W]] | Control | None:
        """Give the next batch to be appended, None if one is outstanding, none waits, or the log has a pause."""
        if self._outstanding is not None or not self._queue or now_s < self._retry_at_s:
            return None
        batch = self._queue.popleft()
        if isinstance(batch, list) and len(batch) > self._batch_max:
            self._queue.appendleft(batch[self._batch_max :])
            batch = batch[: self._batch_max]
        self._outstanding = batch
        self._outstanding_since_s = now_s
        return batch

    def take_loss(self) -> Lost | None:
        """Give the loss that follows the batch just taken, if one does: to be appended together with it.

        Where clicks are turned away there are many losses, and an append for each would leave the log less for clicks.
        """
        if self._queue and isinstance(self._outstanding, list) and isinstance(self._queue[0], Lost):
            self._riding = self._queue[0]
            self._queue.popleft()
        return self._riding

    def finished(self, error: LogError | None, now_s: float, took_s: float = 0.0) -> Outcome[W]:
        """Take the outcome of the outstanding batch, whose append took `took_s`, and give whom to answer.

        A failed batch's numbers are lost. If the log failed before too, everything that waits is answered, so that
        nobody waits for a log that is known to be broken.
        """
        batch, self._outstanding = self._outstanding, None
        riding, self._riding = self._riding, None
        entries = batch if isinstance(batch, list) else []
        self.pending -= len(entries)
        if error is None:
            self._failures = 0
            self._retry_at_s = 0.0
            self._measure(len(entries), took_s)
            return Outcome(True, [entry.waiter for entry in entries if entry.waiter is not None])
        self._failures += 1
        released = [item for item in (batch, riding) if item is not None]
        kept: list[list[Entry[W]] | Control] = list(self._queue)
        if self._failures >= FAILURES_BEFORE_PAUSE:
            self._retry_at_s = now_s + self._retry_s
            self.pending -= sum(len(item) for item in kept if isinstance(item, list))
            released, kept = released + kept, []
        self._queue = deque()
        waiters: list[W] = []
        for item in released:
            if isinstance(item, list):
                waiters += self._lose(item)
            # A heartbeat that failed is old by now: the next one says more.
            elif not isinstance(item, Heartbeat):
                self._append_control(item)
        for item in kept:
            self._append(item)
        self._make_room()
        return Outcome(False, waiters)

    def _measure(self, events: int, took_s: float) -> None:
        """Bound the queue by what the log takes in a part of the time that an event may wait.

        Whoever waits longer leaves unrecorded, and is in the log all the same, to which it left less time for others:
        a queue bounded by its length alone ends with nobody being recorded. Only a full batch tells that the log is
        behind, so that a disk that stalls once turns nobody away.
        """
        if events >= self._batch_max:
            before_s = self._full_append_s or took_s
            self._full_append_s = before_s + (took_s - before_s) * SMOOTHING
            batches = self._timeout_s * WAIT_SHARE / max(self._full_append_s, 1e-6)
            self._limit = min(self._pending_max, max(int(batches * self._batch_max), 2 * self._batch_max))
        elif not self._queue:
            self._full_append_s, self._limit = 0.0, self._pending_max
        self._make_room()

    def _make_room(self) -> None:
        if not self._turning_away or self.pending < self._refill:
            self._turning_away, self._room = False, self._limit

    def expire(self, now_s: float) -> list[W]:
        """Give the waiters whose time is up; they are to be answered as not recorded.

        Events of the outstanding batch may still be kept, and are then not reported lost; queued ones are dropped.
        """
        waiters: list[W] = []
        if isinstance(self._outstanding, list):
            for entry in self._outstanding:
                if entry.deadline_s > now_s:
                    break
                if entry.waiter is not None:
                    waiters.append(entry.waiter)
                    entry.waiter = None
        oldest = next((item[0] for item in self._queue if isinstance(item, list)), None)
        if oldest is None or oldest.deadline_s > now_s:
            return waiters
        items, self._queue = list(self._queue), deque()
        for item in items:
            if isinstance(item, list):
                expired = sum(entry.deadline_s <= now_s for entry in item)
                self.pending -= expired
                waiters += self._lose(item[:expired])
                item = item[expired:]
            if item:
                self._append(item)
        self._make_room()
        return waiters

    def _lose(self, entries: list[Entry[W]]) -> list[W]:
        """Note the numbers of a run of entries, which follow each other within one edge_id, as lost."""
        if entries:
            last = entries[-1]
            self._append_control(Lost(last.edge_id, entries[0].seq, last.seq, last.ts_ms))
        return [entry.waiter for entry in entries if entry.waiter is not None]

    def _append(self, item: list[Entry[W]] | Control) -> None:
        if isinstance(item, list):
            self._queue.append(item)
        else:
            self._append_control(item)

    def _append_control(self, record: Control) -> None:
        """Queue a record; lost numbers join those before them, so that a long failure stays one record."""
        before = self._queue[-1] if self._queue else None
        if (
            isinstance(record, Lost)
            and isinstance(before, Lost)
            and (before.edge_id, before.last_seq + 1) == (record.edge_id, record.first_seq)
        ):
            self._queue[-1] = Lost(record.edge_id, before.first_seq, record.last_seq, record.ts_ms)
        else:
            self._queue.append(record)
