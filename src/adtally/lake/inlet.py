"""One partition of the log on its way into the lake: what was read of it and is not yet durable."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from adtally.errors import LogError
from adtally.event import decode_control
from adtally.eventlog.port import DeadLetter, LogReader, Partition, Position, Record, is_shared
from adtally.lake.decoding import SlowDecoder, decode_fast
from adtally.lake.gaps import GapFinder
from adtally.lake.marks import Marks
from adtally.ledger.port import Absence, EdgeMark
from adtally.telemetry import log

if TYPE_CHECKING:
    import pyarrow as pa


class Taken(msgspec.Struct, frozen=True):
    """What a flush has to make durable of one partition, besides the events themselves."""

    partition: Partition
    position: Position
    passed_ms: int
    events: int
    bytes: int
    oldest_appended_ms: int | None
    letters: list[DeadLetter]
    marks: list[EdgeMark]
    absences: list[Absence]


class Inlet:
    """Follows one partition, independent of all others."""

    def __init__(self, partition: Partition, start: Position) -> None:
        self.partition = partition
        self.position = start
        """Where the log is to be read next."""
        self.passed_ms = 0
        """When its end was last seen, 0 before the first time."""
        self.events = 0
        """That are buffered."""
        self.bytes = 0
        """Of the log that are buffered."""
        self.oldest_appended_ms: int | None = None
        """Of what is buffered."""
        # Where many edges write, neighbours do not tell which numbers a record that cannot be read had.
        self._gaps = None if is_shared(partition) else GapFinder()
        self._trouble = ""
        self._marks = Marks({})
        self._begin()

    def read(self, reader: LogReader, now_ms: int, bytes_max: int) -> int:
        """Read on until the end or about `bytes_max`; give the number of events. Raises PositionGoneError."""
        records: list[Record] = []
        size, position, passed = 0, self.position, False
        # All is read before anything is decoded: while decoding goes on more is appended, and no end would be seen.
        while size < bytes_max:
            found = reader.read(self.partition, position, bytes_max - size)
            if not found:
                passed = True
                break
            records += found
            size += sum(len(record.payload) for record in found)
            position = found[-1].next
        events = self._take(records, reader, now_ms) if records else 0
        self.position = position
        self.bytes += size
        if passed:
            self.passed_ms = now_ms
        return events

    def note_trouble(self, error: LogError) -> None:
        """Log, once for each kind, that the partition cannot be read now."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.warning("the archiver cannot read a partition now", partition=self.partition, error=str(error))

    def take(self) -> "tuple[Taken, list[pa.Table]]":
        """Give what is buffered, in the log's order, and begin anew."""
        taken = Taken(
            partition=self.partition,
            position=self.position,
            passed_ms=self.passed_ms,
            events=self.events,
            bytes=self.bytes,
            oldest_appended_ms=self.oldest_appended_ms,
            letters=self._letters,
            marks=self._marks.marks,
            absences=self._absences + self._marks.absences,
        )
        tables = self._tables
        self._begin()
        return taken, tables

    def _begin(self) -> None:
        self._tables: list[pa.Table] = []
        self._letters: list[DeadLetter] = []
        self._marks = Marks(self._marks.spooled)
        self._absences: list[Absence] = []
        self.events = self.bytes = 0
        self.oldest_appended_ms = None

    def _take(self, records: Sequence[Record], reader: LogReader, now_ms: int) -> int:
        batches = [record for record in records if record.kind == "events"]
        table = decode_fast(batches, reader) if batches else None
        slow = SlowDecoder(reader, now_ms)
        for record in records:
            if record.kind == "control":
                self._take_control(record, now_ms)
            elif record.kind == "damaged":
                self._bury(record, record.reason, now_ms)
                if self._gaps is not None:
                    self._gaps.pass_damage()
            elif table is not None:
                if self._gaps is not None:
                    self._absences += self._gaps.pass_batch(record.payload)
            else:
                self._take_slowly(record, slow)
        table = slow.table() if table is None else table
        if batches and self.oldest_appended_ms is None:
            self.oldest_appended_ms = batches[0].appended_ms
        if len(table) > 0:
            self._tables.append(table)
        self.events += len(table)
        return len(table)

    def _take_slowly(self, record: Record, slow: SlowDecoder) -> None:
        batch = slow.take(record)
        for letter in batch.letters:
            self._keep(letter)
        if self._gaps is None:
            return
        self._absences += batch.absences
        if batch.ends is not None:
            self._absences += self._gaps.pass_batch(batch.ends)
        elif batch.events == 0:
            self._gaps.pass_damage()
        else:
            self._gaps.forget()

    def _take_control(self, record: Record, now_ms: int) -> None:
        try:
            control = decode_control(record.payload)
            self._marks.add(self.partition, control)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            self._bury(record, f"control: {error}", now_ms)
        else:
            if self._gaps is not None:
                self._absences += self._gaps.pass_control(control)

    def _bury(self, record: Record, reason: str, now_ms: int) -> None:
        self._keep(DeadLetter(record.partition, record.at, reason, record.payload, now_ms))

    def _keep(self, letter: DeadLetter) -> None:
        log.error("dead letter", partition=letter.partition, position=letter.position, reason=letter.reason)
        self._letters.append(letter)
