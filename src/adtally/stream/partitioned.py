"""The stream role over a log whose partitions are read each in its own order, and its start anew.

Each partition is a shard with an engine of its own. Several processes may share the partitions; a partition that two
count by mistake does no harm.
"""

from collections.abc import Callable
from typing import Final

from adtally.config import StreamConfig
from adtally.errors import LogError
from adtally.eventlog.port import BEGINNING, CONTROLS, DeadLetters, LogReader, Partition, Position, shard_number
from adtally.olap.port import OlapWriter
from adtally.stream.decoding import Decoding
from adtally.stream.heard import Listener, Promised
from adtally.stream.outbox import Outbox, Pump, passed
from adtally.stream.partition import PartitionCount
from adtally.stream.port import ReportBoard, StreamReport
from adtally.telemetry import log

PARTITIONS_EVERY_MS: Final = 1_000
"""How often new partitions are looked for."""

UNDELIVERED_MAX: Final = 2_000_000
"""Clicks that wait for the store; above this the log is not read further, for it keeps them in less memory."""

READ_BYTES_MIN: Final = 64 * 1024

FOREVER_MS: Final = 1 << 52
"""Later than any hour of the live table."""


class PartitionedStream:
    """Advances by `step(now_ms)`; never sleeps, never reads a clock.

    It counts the partitions whose numbers `config.partitions` names, or all. One without a committed position is
    counted from its beginning, minutes from `open_since_ms` on: earlier ones are final. `reader` gives control records
    too, if the log has them in a partition of their own.
    """

    def __init__(
        self,
        reader: LogReader,
        dead_letters: DeadLetters,
        pump: Pump,
        config: StreamConfig,
        open_since_ms: int = 0,
    ) -> None:
        self._reader = reader
        self._decoding = Decoding(reader, dead_letters)
        self._outbox = Outbox(pump, config.flush_ms)
        self._config = config
        self._open_since_ms = open_since_ms
        self._committed = reader.committed()
        self._listener = Listener(reader, self._committed.get(CONTROLS, BEGINNING))
        self._promised = Promised(self._listener)
        self._has_controls = False
        self._counts: dict[Partition, PartitionCount] = {}
        self._shards: tuple[str, ...] = ()
        self._turn = 0
        self._looked_ms: int | None = None
        self._committed_ms = 0

    def step(self, now_ms: int) -> int:
        """Do what can be done now; give the number of events that were read.

        Raises LogError if a partition could not be read; the others were.
        """
        self._finish_delivery(now_ms)
        if self._looked_ms is None or passed(self._looked_ms, PARTITIONS_EVERY_MS, now_ms):
            self._find_partitions()
            self._looked_ms = now_ms
        events, failed = 0, None
        counts = list(self._counts.values())
        bytes_max = max(self._config.read_bytes_max // max(1, len(counts)), READ_BYTES_MIN)
        for count in counts:
            if sum(count.engine.undelivered for count in counts) >= UNDELIVERED_MAX:
                break
            try:
                events += count.advance(self._reader, self._decoding, bytes_max, now_ms)
            except LogError as error:
                failed = failed or error
        if self._has_controls:
            try:
                self._promised.step(now_ms, lambda promise: all(count.keeps(promise) for count in counts))
            except LogError as error:
                failed = failed or error
        # Where there is more than one delivery takes, everyone is first in turn.
        self._turn = (self._turn + 1) % max(1, len(counts))
        engines = [count.engine for count in counts[self._turn :] + counts[: self._turn]]
        self._outbox.start(engines, lambda: self.report(now_ms), now_ms)
        self._finish_delivery(now_ms)
        if failed is not None:
            raise failed
        return events

    def report(self, now_ms: int) -> StreamReport:
        """Give how far the stream has come and what it holds."""
        counts = list(self._counts.values())
        engines, sieves = [count.engine for count in counts], [count.sieve for count in counts]
        handed_over = not any(engine.changed for engine in engines)
        return StreamReport(
            as_of_ms=self._as_of_ms() if handed_over else self._outbox.stored_as_of_ms,
            reported_ms=now_ms,
            events=sum(count.events for count in counts),
            duplicates=sum(engine.duplicates for engine in engines),
            late=sum(sieve.late for sieve in sieves),
            dead_letters=self._decoding.dead_letters,
            dedup_entries=sum(engine.dedup_entries for engine in engines),
            open_cells=sum(engine.open_cells for engine in engines),
            positions={str(count.partition): str(count.next_read) for count in counts},
            repeats=sum(sieve.repeats for sieve in sieves),
            shards=self._shards,
        )

    @property
    def idle(self) -> bool:
        """True if everything that was counted is in the store."""
        return self._outbox.empty and not any(count.engine.changed for count in self._counts.values())

    def _find_partitions(self) -> None:
        numbers = {partition: shard_number(partition) for partition in self._reader.partitions()}
        self._has_controls = CONTROLS in numbers
        self._shards = tuple(str(partition) for partition, number in numbers.items() if number is not None)
        for partition, number in numbers.items():
            mine = number is not None and (not self._config.partitions or number in self._config.partitions)
            if mine and partition not in self._counts:
                start = self._committed.get(partition, BEGINNING)
                floor_ms = self._open_since_ms if start == BEGINNING else None
                self._counts[partition] = PartitionCount(partition, start, floor_ms, self._config)

    def _as_of_ms(self) -> int:
        late_ms = min((count.as_of_ms() for count in self._counts.values()), default=0)
        # The lateness holds for edges too that do not come back. While a partition is unread nothing is said at all.
        return max(late_ms, self._promised.as_of_ms) if late_ms else 0

    def _finish_delivery(self, now_ms: int) -> None:
        if not self._outbox.finish():
            return
        for count in self._counts.values():
            count.engine.close_minutes()
        if passed(self._committed_ms, self._config.commit_ms, now_ms):
            self._committed_ms = now_ms
            self._commit()

    def _commit(self) -> None:
        found: dict[Partition, Position | None] = {
            partition: count.restart() for partition, count in self._counts.items()
        }
        found[CONTROLS] = self._listener.restart()
        positions = {partition: position for partition, position in found.items() if position is not None}
        if not positions:
            return
        try:
            self._reader.commit(positions)
        except LogError as error:
            # Nothing is lost: an older position only means a longer replay.
            log.warning("the restart positions were not committed", error=str(error))


def start_anew(board: ReportBoard, forget_positions: Callable[[], None], writer: OlapWriter) -> None:
    """Make all streams count again, from their logs, the hours that are not final: needed when a log was replaced, or
    counting rules or code have changed.

    Only right while no stream runs; one that still does would mix its rows with the new ones. `forget_positions` makes
    the streams' reader forget where it would restart. The live table is emptied: of hours that are final nobody reads
    it. Whoever dies here repeats it. Raises LogError and StoreUnavailableError.
    """
    # In this order: nobody may believe the table while it is not whole, and a table that is whole again would stay
    # empty if positions were forgotten only after it was emptied.
    board.forget()
    forget_positions()
    writer.drop_live_before(FOREVER_MS)
