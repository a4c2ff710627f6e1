"""The stream role: reads the log, merges, counts, delivers to the store, and commits from where it would restart."""

from collections import deque
from typing import Final

import msgspec

from adtally.config import StreamConfig
from adtally.errors import LogError
from adtally.event import decode_control
from adtally.eventlog.port import BEGINNING, DeadLetters, LogReader, Partition, Position, Record
from adtally.stream.decoding import Decoding
from adtally.stream.engine import Engine, first_whole_minute
from adtally.stream.merge import Inlet, Merged, merge
from adtally.stream.outbox import Outbox, Pump, passed
from adtally.stream.port import StreamReport
from adtally.telemetry import log

WAITING_MAX: Final = 200_000
"""Events of one partition that wait for the others; above this it is not read further."""

UNDELIVERED_MAX: Final = 2_000_000
"""Clicks that wait for the store; above this the log is not read further, for it keeps them in less memory."""

CUT_EVERY_MS: Final = 1_000


class _Cut(msgspec.Struct, frozen=True):
    """A place in the merged order: no event before it has a later time than `bound_ms`."""

    bound_ms: int
    positions: dict[Partition, Position]


class Stream:
    """Advances by `step(now_ms)`; never sleeps, never reads a clock."""

    def __init__(self, reader: LogReader, dead_letters: DeadLetters, pump: Pump, config: StreamConfig) -> None:
        self._reader = reader
        self._decoding = Decoding(reader, dead_letters)
        self._outbox = Outbox(pump, config.flush_ms)
        self._config = config
        self._engine = Engine("all", config.dedup_window_ms, config.lateness_ms)
        self._committed = reader.committed()
        self._inlets: dict[Partition, Inlet] = {}
        self._cuts: deque[_Cut] = deque()
        self._floor_known = not self._committed
        self._committed_ms = 0

    def step(self, now_ms: int) -> int:
        """Do what can be done now; give the number of events that were counted. Raises LogError."""
        self._finish_delivery(now_ms)
        for partition in self._reader.partitions():
            if partition not in self._inlets:
                self._inlets[partition] = Inlet(partition, self._committed.get(partition, BEGINNING))
        for inlet in self._inlets.values():
            if inlet.waiting < WAITING_MAX and self._engine.undelivered < UNDELIVERED_MAX:
                # Only at the log's end is a partition really retired: what follows may take it up again.
                while self._read(inlet, now_ms) and inlet.retired:
                    pass
        place = self._place_to_remember()
        merged = merge(list(self._inlets.values()))
        if merged.events:
            self._count(merged, place)
        self._outbox.start([self._engine], lambda: self.report(now_ms), now_ms)
        self._finish_delivery(now_ms)
        return len(merged.events)

    def report(self, now_ms: int) -> StreamReport:
        """Give how far the stream has come and what it holds."""
        engine = self._engine
        return StreamReport(
            as_of_ms=self._as_of_ms() if engine.changed == 0 else self._outbox.stored_as_of_ms,
            reported_ms=now_ms,
            events=engine.events,
            duplicates=engine.duplicates,
            late=engine.late,
            dead_letters=self._decoding.dead_letters,
            dedup_entries=engine.dedup_entries,
            open_cells=engine.open_cells,
            positions={str(inlet.partition): str(inlet.restart(self._reader)) for inlet in self._inlets.values()},
        )

    @property
    def idle(self) -> bool:
        """True if everything that was counted is in the store."""
        return self._outbox.empty and self._engine.changed == 0

    def _read(self, inlet: Inlet, now_ms: int) -> bool:
        """Read on; False at the log's end."""
        records = self._reader.read(inlet.partition, inlet.next_read, self._config.read_bytes_max)
        for record in records:
            if record.kind == "events":
                events = self._decoding.events(record, now_ms)
                if events:
                    inlet.push_events(record, events)
                else:
                    inlet.skip(record)
            elif record.kind == "control":
                self._take_control(inlet, record, now_ms)
            else:
                self._bury(inlet, record, record.reason, now_ms)
        return bool(records)

    def _take_control(self, inlet: Inlet, record: Record, now_ms: int) -> None:
        try:
            inlet.push_control(record, decode_control(record.payload))
        except msgspec.MsgspecError as error:
            self._bury(inlet, record, f"control: {error}", now_ms)

    def _bury(self, inlet: Inlet, record: Record, reason: str, now_ms: int) -> None:
        self._decoding.bury(record, reason, now_ms)
        inlet.skip(record)

    def _place_to_remember(self) -> dict[Partition, Position] | None:
        """Give this place, about once a second of log time, as one from which a restart may be possible."""
        due = not self._cuts or self._engine.ts_ms_max >= self._cuts[-1].bound_ms + CUT_EVERY_MS
        if not due or self._engine.events == 0:
            return None
        return {inlet.partition: inlet.restart(self._reader) for inlet in self._inlets.values()}

    def _count(self, merged: Merged, place: dict[Partition, Position] | None) -> None:
        # Nothing that stands before these events is newer than this, unless a clock was set back.
        bound_ms = max(merged.events[0].ts_ms, merged.appended_ms[0])
        if not self._floor_known:
            self._engine.floor_ms = first_whole_minute(bound_ms, self._config.dedup_window_ms)
            self._floor_known = True
        if place is not None and self._engine.ts_ms_max <= bound_ms:
            self._cuts.append(_Cut(bound_ms, place))
        # What follows was appended later than this in the log's own order, and is not older in the merged one: an
        # event that waited long for its append says nothing about the other partitions.
        log_ms = min(merged.appended_ms[-1], merged.events[-1].ts_ms)
        self._engine.apply(merged.events, merged.appended_ms, log_ms)

    def _as_of_ms(self) -> int:
        awaited = [inlet.seen_ms for inlet in self._inlets.values() if not inlet.retired]
        return min(awaited, default=0)

    def _finish_delivery(self, now_ms: int) -> None:
        if not self._outbox.finish():
            return
        self._engine.close_minutes()
        if passed(self._committed_ms, self._config.commit_ms, now_ms):
            self._committed_ms = now_ms
            self._commit()

    def _commit(self) -> None:
        """Commit the newest place from which a restart hands on every minute that is still open."""
        window_ms, oldest_open_ms = self._config.dedup_window_ms, self._engine.oldest_open_ms()
        chosen: _Cut | None = None
        while self._cuts and first_whole_minute(self._cuts[0].bound_ms, window_ms) <= oldest_open_ms:
            chosen = self._cuts.popleft()
        if chosen is None:
            return
        try:
            self._reader.commit(chosen.positions)
        except LogError as error:
            # Nothing is lost: an older position only means a longer replay.
            log.warning("the restart position was not committed", error=str(error))
