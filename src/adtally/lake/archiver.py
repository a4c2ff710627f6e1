"""The archiver: writes every event of the log to the lake, and says how far it came (design sections 1 and 4).

A flush makes its files durable, then the dead letters, then tells the ledger, then commits the position from which it
would restart. A kill anywhere between repeats what was not committed: the same events once more in the lake, where
readers take each (edge_id, seq) once, and never a claim for what is not there.
"""

from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from adtally import faultpoint
from adtally.config import LakeConfig
from adtally.errors import LakeError, LogError, PositionGoneError, StoreUnavailableError
from adtally.eventlog.port import BEGINNING, DeadLetters, LogReader, Partition, Position
from adtally.lake.flush import Flush
from adtally.lake.inlet import Inlet
from adtally.lake.port import Lake
from adtally.ledger.port import ArchiveLedger, ArchiveNote
from adtally.telemetry import log

READ_BYTES_MAX: Final = 8 << 20
"""Of one partition in one step."""

WANTED_EVERY_MS: Final = 500
"""How often the ledger is asked whether somebody waits."""

BACKOFF_MS: Final = 500
BACKOFF_MS_MAX: Final = 30_000


class PartitionReport(msgspec.Struct, frozen=True):
    """One partition's watermarks."""

    partition: Partition
    position: Position
    """Everything before it is in the lake."""
    passed_ms: int
    """Everything appended before it is in the lake; 0 before the first flush of this process."""
    oldest_appended_ms: int | None
    """The append of the oldest event that was read and is not yet durable."""
    events: int
    """That were read and are not yet durable."""


class ArchiverReport(msgspec.Struct, frozen=True):
    """How far the archiver has come; counters are of this process."""

    partitions: tuple[PartitionReport, ...]
    buffered_bytes: int
    """Of the log, read and not yet durable."""
    events: int
    files: int
    file_bytes: int
    dead_letters: int
    flushes: int
    failures: int
    trouble: str
    """Why the flush that is under way failed last, empty where none did."""


class Archiver:
    """Advances by `step(now_ms)`; never sleeps, never reads a clock. Used by one thread.

    Memory is bounded by `flush_bytes` of the log and the copy that sorting makes: buffers hold the log's order, and are
    parted into hours only when they are flushed. An import that wanders over many hours makes a file of each of them in
    each flush, however small; compaction mends that.

    `own` tells which partitions it archives, where several archivers share a log. Of the others it tells the ledger
    that they are there, so that hours wait for an archiver of theirs, even one that was never started.
    """

    def __init__(
        self,
        reader: LogReader,
        lake: Lake,
        ledger: ArchiveLedger,
        dead_letters: DeadLetters,
        config: LakeConfig,
        rnd: Random,
        own: Callable[[Partition], bool] = lambda _: True,
    ) -> None:
        self._reader = reader
        self._lake = lake
        self._ledger = ledger
        self._dead_letters = dead_letters
        self._config = config
        self._rnd = rnd
        self._own = own
        self._others: set[Partition] = set()
        self._committed = reader.committed()
        self._inlets: dict[Partition, Inlet] = {}
        self._flush: Flush | None = None
        self._durable: dict[Partition, tuple[Position, int]] = {}
        self._flushed_ms: int | None = None
        self._asked_ms = 0
        self._wanted_ms = 0
        self._attempts = 0
        self._retry_ms = 0
        self._trouble = ""
        self._events = self._files = self._file_bytes = self._letters = self._flushes = self._failures = 0

    def step(self, now_ms: int) -> int:
        """Do what can be done now; give the number of events that were read. Raises PositionGoneError.

        While a flush fails nothing is read: what waits in the log is safe there. A step that gives 0 found every
        partition's end; a pause of some 100 ms is right then, for larger batches are cheaper.
        """
        if self._flush is not None and not self._advance(now_ms):
            return 0
        events = self._read(now_ms)
        if self._due(now_ms):
            self._begin_flush(now_ms)
            self._advance(now_ms)
        return events

    def close(self, now_ms: int) -> bool:
        """Make durable what was read, without waiting for a retry; False where that failed, which loses nothing."""
        if self._flush is not None:
            self._retry_ms = now_ms
            if not self._advance(now_ms):
                return False
        self._begin_flush(now_ms)
        return self._advance(now_ms)

    def report(self) -> ArchiverReport:
        """Give how far it has come and what it holds."""
        held = {} if self._flush is None else {each.partition: each for each in self._flush.held}
        partitions: list[PartitionReport] = []
        for partition, inlet in sorted(self._inlets.items()):
            position, passed_ms = self._durable.get(partition, (self._committed.get(partition, BEGINNING), 0))
            waiting = held.get(partition)
            oldest_ms = inlet.oldest_appended_ms
            if waiting is not None and waiting.oldest_appended_ms is not None:
                oldest_ms = waiting.oldest_appended_ms
            events = inlet.events + (0 if waiting is None else waiting.events)
            partitions.append(PartitionReport(partition, position, passed_ms, oldest_ms, events))
        return ArchiverReport(
            partitions=tuple(partitions),
            buffered_bytes=self._buffered_bytes() + sum(each.bytes for each in held.values()),
            events=self._events,
            files=self._files,
            file_bytes=self._file_bytes,
            dead_letters=self._letters,
            flushes=self._flushes,
            failures=self._failures,
            trouble=self._trouble,
        )

    def _read(self, now_ms: int) -> int:
        if self._flushed_ms is None:
            self._flushed_ms = now_ms
        for partition in self._reader.partitions():
            if not self._own(partition):
                self._others.add(partition)
            elif partition not in self._inlets:
                self._inlets[partition] = Inlet(partition, self._committed.get(partition, BEGINNING))
        events = 0
        for partition, inlet in list(self._inlets.items()):
            room = self._config.flush_bytes - self._buffered_bytes()
            if room <= 0:
                break
            # Who was read stands behind the others now: where all have much to give, all come forward.
            self._inlets[partition] = self._inlets.pop(partition)
            try:
                events += inlet.read(self._reader, now_ms, min(room, READ_BYTES_MAX))
            except PositionGoneError:
                raise
            except LogError as error:
                # The others go on: this one's passed_ms stands still and shows it.
                inlet.note_trouble(error)
        return events

    def _buffered_bytes(self) -> int:
        return sum(inlet.bytes for inlet in self._inlets.values())

    def _due(self, now_ms: int) -> bool:
        assert self._flushed_ms is not None
        since_ms = now_ms - self._flushed_ms
        overdue = since_ms >= self._config.flush_ms or since_ms < 0
        return overdue or self._buffered_bytes() >= self._config.flush_bytes or self._is_wanted(now_ms)

    def _is_wanted(self, now_ms: int) -> bool:
        """Tell whether somebody waits for what now can be given: the end of every partition was seen since then."""
        if not 0 <= now_ms - self._asked_ms < WANTED_EVERY_MS:
            self._asked_ms = now_ms
            try:
                self._wanted_ms = self._ledger.archive_wanted_ms()
            except StoreUnavailableError:
                # Who waits has asked the same ledger; it will be heard when the ledger answers again.
                return False
        durable_ms = min((self._durable.get(each, ("", 0))[1] for each in self._inlets), default=now_ms)
        seen_ms = min((inlet.passed_ms for inlet in self._inlets.values()), default=0)
        return durable_ms < self._wanted_ms <= seen_ms

    def _begin_flush(self, now_ms: int) -> None:
        self._flushed_ms = now_ms
        self._attempts, self._retry_ms = 0, now_ms
        self._flush = Flush([inlet.take() for inlet in self._inlets.values()])

    def _advance(self, now_ms: int) -> bool:
        """Go on with the flush; False where it failed or waits for its next attempt."""
        flush = self._flush
        assert flush is not None
        # A wait that is longer than any is one that a clock has jumped away from.
        if now_ms < self._retry_ms <= now_ms + BACKOFF_MS_MAX:
            return False
        try:
            files = flush.write(self._lake)
            self._dead_letters.put(flush.letters)
            faultpoint.reach("archiver.buried")
            there = [ArchiveNote(each, BEGINNING, 0) for each in sorted(self._others)]
            self._ledger.note_archived([*flush.notes, *there], flush.marks, flush.absences)
            faultpoint.reach("archiver.noted")
            self._reader.commit({note.partition: note.position for note in flush.notes})
            faultpoint.reach("archiver.committed")
        except (LakeError, LogError, StoreUnavailableError) as error:
            self._fail(error, now_ms)
            return False
        self._durable.update({note.partition: (note.position, note.passed_ms) for note in flush.notes})
        self._events += sum(each.events for each in flush.held)
        self._files += len(files)
        self._file_bytes += sum(file.size_bytes for file in files)
        self._letters += len(flush.letters)
        self._flushes += 1
        self._flush, self._trouble = None, ""
        return True

    def _fail(self, error: Exception, now_ms: int) -> None:
        self._failures += 1
        self._trouble = str(error)
        pause_ms = min(BACKOFF_MS_MAX, BACKOFF_MS << min(self._attempts, 16))
        self._attempts += 1
        self._retry_ms = now_ms + int(pause_ms * self._rnd.uniform(0.5, 1.0))
        log.warning("the archiver's flush failed and is tried again", error=str(error), attempt=self._attempts)
