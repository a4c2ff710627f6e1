"""One partition of a log that is read in its own order, as Kafka has it.

There is no merged order and no heartbeat here. What takes their place is the log's time: the greatest append time so
far. Events further than the lateness behind it or `AHEAD_MS` ahead of it are not live, so at each place of the log it
is known which times can have come before and which can still come, whatever the clocks of edges do:

- before a record, nothing live is newer than the log's time there and `AHEAD_MS`;
- after it, nothing live is older than the log's time less the lateness.

From the second follows when cells, clicks and numbers may be forgotten; from the first, from where a restart is right.
A restart knows nothing but the record it begins with. If this is one whose append time is the log's time (no earlier
one is greater), the log's time is known from there on as if all had been read. Every minute from the first that lies a
window behind that time and `AHEAD_MS` is then counted whole: no event of it, no click within its look-back and no first
copy of its events can stand before. Earlier minutes are not handed on (`floor`), and a place is committed only when all
of these are closed and in the store. The decision page 0018 has the proof in full.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from adtally.config import StreamConfig
from adtally.counting import AHEAD_MS
from adtally.event import Event, decode_event_lines
from adtally.eventlog.port import LogReader, Partition, Position, Record
from adtally.stream.decoding import Decoding
from adtally.stream.engine import Engine, first_whole_minute
from adtally.stream.heard import Promise
from adtally.stream.sieve import Sieve

CUT_EVERY_MS: Final = 1_000

CLOCKS_APART_MS: Final = 10_000
"""How far a broker's clock may lag behind ours, where the end of the log was seen."""

BROKERS_APART_MS: Final = 2_000
"""How far brokers' clocks may differ, where under load the end of the log is hardly ever seen."""


class _Cut(msgspec.Struct, frozen=True):
    """A record whose append time, `log_ms`, is no less than any before it."""

    log_ms: int
    position: Position


class PartitionCount:
    """Reads and counts one partition. `start` is where, `floor_ms` is None if the first record is to tell."""

    def __init__(self, partition: Partition, start: Position, floor_ms: int | None, config: StreamConfig) -> None:
        self.partition: Final = partition
        self._config: Final = config
        self.engine: Final = Engine(partition, config.dedup_window_ms, config.lateness_ms)
        self.sieve: Final = Sieve(config.lateness_ms, AHEAD_MS)
        self.next_read = start
        self.events = 0
        self._floor_known = floor_ms is not None
        self.engine.floor_ms = floor_ms or 0
        self._log_ms = 0
        self._end_seen_ms = 0
        self._cuts: deque[_Cut] = deque()

    def advance(self, reader: LogReader, decoding: Decoding, bytes_max: int, now_ms: int) -> int:
        """Read once and count; give the number of events. Raises LogError, and then nothing was taken."""
        records = reader.read(self.partition, self.next_read, bytes_max)
        if not records:
            self._end_seen_ms = now_ms
            return 0
        log_ms = self._log_ms
        times = [log_ms := max(log_ms, record.appended_ms) for record in records]
        if not self._floor_known:
            self.engine.floor_ms = first_whole_minute(times[0] + AHEAD_MS, self._config.dedup_window_ms)
            self._floor_known = True
        events: list[Event] = []
        # Else nothing here is handed on, nor in the look-back of what is: when all open hours are counted anew.
        if first_whole_minute(log_ms + AHEAD_MS, self._config.dedup_window_ms) >= self.engine.floor_ms:
            events, numbers = _decoded(records, decoding, now_ms)
            at_ms = [time for time, number in zip(times, numbers, strict=True) for _ in range(number)]
            self.engine.apply(*self.sieve.sift(events, at_ms), log_ms)
        self._remember_cuts(reader, records, times)
        self._log_ms, self.next_read = log_ms, records[-1].next
        self.events += len(events)
        return len(events)

    def as_of_ms(self) -> int:
        """Give the time before which everything that is not late was counted; 0 before anything is known.

        It lies the lateness behind what was read: here nobody promises that no older event is still on its way.
        """
        return max(0, max(self._log_ms, self._end_seen_ms - CLOCKS_APART_MS) - self._config.lateness_ms)

    def keeps(self, promise: Promise) -> bool:
        """Tell whether all that a promise is about was read here."""
        return self._end_seen_ms > promise.heard_ms or self._log_ms > promise.appended_ms + BROKERS_APART_MS

    def restart(self) -> Position | None:
        """Give the newest place from which a restart is right now, None if there is no newer one than was given.

        Only right while no handover is on its way.
        """
        window_ms, oldest_open_ms = self._config.dedup_window_ms, self.engine.oldest_open_ms()
        chosen: _Cut | None = None
        while self._cuts and first_whole_minute(self._cuts[0].log_ms + AHEAD_MS, window_ms) <= oldest_open_ms:
            chosen = self._cuts.popleft()
        return None if chosen is None else chosen.position

    def _remember_cuts(self, reader: LogReader, records: Sequence[Record], times: Sequence[int]) -> None:
        due_ms = self._cuts[-1].log_ms + CUT_EVERY_MS if self._cuts else 0
        for record, log_ms in zip(records, times, strict=True):
            if log_ms >= due_ms and record.appended_ms == log_ms:
                position = reader.position_of(record, record.skip) if record.skip else record.at
                self._cuts.append(_Cut(log_ms, position))
                due_ms = log_ms + CUT_EVERY_MS


def _decoded(records: Sequence[Record], decoding: Decoding, now_ms: int) -> tuple[list[Event], list[int]]:
    """Give all records' events, and how many each has."""
    # A record may be a single event: then one call for all of them costs a fraction of a call for each.
    if all(record.kind == "events" and not record.skip for record in records):
        payloads = [record.payload for record in records]
        numbers = [payload.count(b"\n") + 1 for payload in payloads]
        try:
            events = decode_event_lines(b"\n".join(payloads))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        else:
            if len(events) == sum(numbers):
                return events, numbers
    batches = [_events(record, decoding, now_ms) for record in records]
    return [event for batch in batches for event in batch], [len(batch) for batch in batches]


def _events(record: Record, decoding: Decoding, now_ms: int) -> list[Event]:
    if record.kind == "events":
        return decoding.events(record, now_ms, record.skip)
    if record.kind == "damaged":
        decoding.bury(record, record.reason, now_ms)
    return []
