"""One flush: what the partitions held at one moment, on its way into the lake."""

from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from adtally import faultpoint
from adtally.eventlog.port import DeadLetter, Partition
from adtally.lake.inlet import Taken
from adtally.lake.port import Lake, LakeFile
from adtally.ledger.port import Absence, ArchiveNote, EdgeMark
from adtally.utc import HOUR_MS


class _Part(msgspec.Struct, frozen=True):
    """The events of one partition and hour."""

    hour_ms: int
    stem: str
    events: pa.Table


class Flush:
    """Writes one file for each partition and event hour that has events, and holds what the ledger is to be told.

    A write that failed can be gone on with.
    """

    def __init__(self, held: Sequence[tuple[Taken, list[pa.Table]]]) -> None:
        self.held = [taken for taken, _ in held]
        self._pending = [part for taken, tables in held for part in _parts(taken.partition, tables)]
        self._written: list[LakeFile] = []

    def write(self, lake: Lake) -> list[LakeFile]:
        """Write what was not written yet, and give all files. Raises LakeError; those written before it stay."""
        while self._pending:
            part = self._pending[-1]
            self._written.append(lake.write(part.hour_ms, part.stem, part.events))
            self._pending.pop()
        faultpoint.reach("archiver.written")
        return self._written

    @property
    def letters(self) -> list[DeadLetter]:
        """The dead letters that were found."""
        return [letter for taken in self.held for letter in taken.letters]

    @property
    def notes(self) -> list[ArchiveNote]:
        """How far each partition came: idle ones advance, too."""
        return [ArchiveNote(taken.partition, taken.position, taken.passed_ms) for taken in self.held]

    @property
    def marks(self) -> list[EdgeMark]:
        """The promises of the edges."""
        return [mark for taken in self.held for mark in taken.marks]

    @property
    def absences(self) -> list[Absence]:
        """The numbers that are known not to be events."""
        return [absence for taken in self.held for absence in taken.absences]


def _parts(partition: Partition, tables: Sequence[pa.Table]) -> Iterator[_Part]:
    if not tables:
        return
    events = pa.concat_tables(tables)
    hours = pc.multiply(pc.divide(events["ts_ms"], HOUR_MS), HOUR_MS)
    bounds = pc.min_max(hours).as_py()
    if bounds["min"] == bounds["max"]:
        yield _part(partition, bounds["min"], events)
        return
    order = pc.sort_indices(hours)
    events, hours = events.take(order), hours.take(order)
    begin = 0
    for count in pc.value_counts(hours).to_pylist():
        yield _part(partition, count["values"], events.slice(begin, count["counts"]))
        begin += count["counts"]


def _part(partition: Partition, hour_ms: int, events: pa.Table) -> _Part:
    offsets = pc.min_max(events["offset"]).as_py()
    return _Part(hour_ms, f"{partition}-{offsets['min']}-{offsets['max']}", events)
