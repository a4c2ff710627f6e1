"""Merges the partitions of the log into one order: (ts_ms, edge_id, seq), as design section 3 asks.

It is the classic k-way merge: always the smallest head, and a wait as soon as one partition has none, for its next
record could be the smallest. Heartbeats are heads too, so that idle partitions do not hold the others back. The result
depends on the log alone, never on when which partition was read.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from operator import attrgetter

import msgspec

from adtally.event import Closing, Control, Event, Heartbeat, Lost
from adtally.eventlog.port import LogReader, Partition, Position, Record

Key = tuple[int, str, int]
_key_of = attrgetter("ts_ms", "edge_id", "seq")


class Merged(msgspec.Struct, frozen=True):
    """Events in their order, each with the time of its append."""

    events: list[Event]
    appended_ms: list[int]


class _Chunk:
    """What is left of one record: its events from `first` on; a control record has none, but a key."""

    __slots__ = ("events", "first", "last_key", "record", "sorted")

    def __init__(self, record: Record, events: list[Event], first: int, last_key: Key, sorted_: bool) -> None:
        self.record = record
        self.events = events
        self.first = first
        self.last_key = last_key
        self.sorted = sorted_


class Inlet:
    """One partition's records that wait for the others."""

    def __init__(self, partition: Partition, start: Position) -> None:
        self.partition = partition
        self.next_read = start
        """Where the log is to be read next."""
        self.waiting = 0
        """Events that wait."""
        self.seen_ms = 0
        """Newest time that the partition told of, events and heartbeats alike."""
        self.retired = False
        """No writer is there and none is awaited: others need not wait."""
        self._chunks: deque[_Chunk] = deque()
        self._last_key: Key = (0, "", 0)
        self._retired_at = start

    def push_events(self, record: Record, events: list[Event]) -> None:
        """Take an `events` record's events, those before `record.skip` left out."""
        events = events[record.skip :]
        self.next_read = record.next
        if not events:
            return
        # One batch comes from one edge, which numbers its events in order; its clock is what may be wrong.
        times = [event.ts_ms for event in events]
        in_order = times == sorted(times) and _key_of(events[0]) >= self._last_key
        self._push(_Chunk(record, events, 0, _key_of(events[-1]), in_order))
        self.waiting += len(events)
        self.retired = False

    def push_control(self, record: Record, control: Control) -> None:
        """Take a control record: a promise about what follows."""
        self.next_read = record.next
        last_seq = control.last_seq if isinstance(control, Heartbeat | Closing | Lost) else 0
        key = (control.ts_ms, control.edge_id, last_seq)
        self._push(_Chunk(record, [], 0, key, key >= self._last_key))
        self.retired = isinstance(control, Closing) and control.retired
        self._retired_at = record.at

    def skip(self, record: Record) -> None:
        """Pass over a record that holds nothing for the merge."""
        self.next_read = record.next

    def restart(self, reader: LogReader) -> Position:
        """Give the position of the first event that was not yet taken, or where the next one will be read."""
        for chunk in self._chunks:
            if chunk.events:
                return reader.position_of(chunk.record, chunk.record.skip + chunk.first)
        # Who restarts has to read again that nobody is to be awaited here.
        return self._retired_at if self.retired else self.next_read

    @property
    def empty(self) -> bool:
        """True if there is no head, not even a heartbeat."""
        return not self._chunks

    @property
    def in_order(self) -> bool:
        """False while something waits that is older than what stands before it (a clock was set back)."""
        return all(chunk.sorted for chunk in self._chunks)

    @property
    def last_key(self) -> Key:
        """The key of the last record that waits."""
        return self._chunks[-1].last_key

    def take_until(self, limit: Key) -> Iterator[tuple[Sequence[Event], int]]:
        """Give all events up to and with `limit`, in runs of one append time. Only right while `in_order`."""
        while self._chunks:
            chunk = self._chunks[0]
            if chunk.last_key <= limit:
                self._chunks.popleft()
                run = chunk.events[chunk.first :] if chunk.first else chunk.events
            else:
                stop = chunk.first
                while stop < len(chunk.events) and _key_of(chunk.events[stop]) <= limit:
                    stop += 1
                run = chunk.events[chunk.first : stop]
                chunk.first = stop
            self.waiting -= len(run)
            if run:
                yield run, chunk.record.appended_ms
            if self._chunks and self._chunks[0] is chunk:
                return

    def take_head(self) -> tuple[Event, int] | None:
        """Take the head alone: its event, or None for a control record."""
        chunk = self._chunks[0]
        if not chunk.events:
            self._chunks.popleft()
            return None
        event = chunk.events[chunk.first]
        chunk.first += 1
        self.waiting -= 1
        if chunk.first == len(chunk.events):
            self._chunks.popleft()
        return event, chunk.record.appended_ms

    def head_key(self) -> Key:
        """Give the key of the head."""
        chunk = self._chunks[0]
        return _key_of(chunk.events[chunk.first]) if chunk.events else chunk.last_key

    def _push(self, chunk: _Chunk) -> None:
        self._chunks.append(chunk)
        self._last_key = chunk.last_key
        self.seen_ms = chunk.last_key[0]


def merge(inlets: Sequence[Inlet]) -> Merged:
    """Take everything that can be taken: until some partition that is awaited has no head."""
    merged = Merged([], [])
    awaited = [inlet for inlet in inlets if not (inlet.empty and inlet.retired)]
    if not awaited or any(inlet.empty for inlet in awaited):
        return merged
    if all(inlet.in_order for inlet in awaited):
        _merge_sorted(awaited, merged)
    else:
        _merge_heads(awaited, merged)
    return merged


def _merge_sorted(inlets: Sequence[Inlet], merged: Merged) -> None:
    """Take, where every partition is in order, all up to the smallest of their last keys."""
    limits = [inlet.last_key for inlet in inlets if not inlet.retired]
    limit = min(limits) if limits else max(inlet.last_key for inlet in inlets)
    runs = [(run, appended_ms) for inlet in inlets for run, appended_ms in inlet.take_until(limit)]
    if len(inlets) == 1:
        for run, appended_ms in runs:
            merged.events.extend(run)
            merged.appended_ms.extend([appended_ms] * len(run))
        return
    pairs = [(event, appended_ms) for run, appended_ms in runs for event in run]
    pairs.sort(key=lambda pair: _key_of(pair[0]))
    merged.events.extend([event for event, _ in pairs])
    merged.appended_ms.extend([appended_ms for _, appended_ms in pairs])


def _merge_heads(inlets: Sequence[Inlet], merged: Merged) -> None:
    """Take head by head: the same result as the fast way where both apply, and right after a clock was set back."""
    heads = [(inlet.head_key(), number) for number, inlet in enumerate(inlets)]
    heapq.heapify(heads)
    while heads:
        _, number = heapq.heappop(heads)
        inlet = inlets[number]
        taken = inlet.take_head()
        if taken is not None:
            merged.events.append(taken[0])
            merged.appended_ms.append(taken[1])
        if not inlet.empty:
            heapq.heappush(heads, (inlet.head_key(), number))
        elif not inlet.retired:
            return
