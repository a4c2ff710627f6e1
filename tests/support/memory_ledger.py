"""An archiver's ledger in memory, for tests of what writes to it."""

from collections.abc import Sequence

from adtally.errors import StoreUnavailableError
from adtally.ledger.port import Absence, ArchiveNote, EdgeMark


class MemoryArchiveLedger:
    """Implements ArchiveLedger. `away` makes it raise as a ledger that does not answer."""

    def __init__(self) -> None:
        self.notes: dict[str, ArchiveNote] = {}
        self.edge_marks: dict[tuple[str, int], EdgeMark] = {}
        self.known_absences: set[Absence] = set()
        self.wanted_ms = 0
        self.away = False
        self.calls = 0

    def note_archived(
        self, notes: Sequence[ArchiveNote], marks: Sequence[EdgeMark], absences: Sequence[Absence]
    ) -> None:
        self._answer()
        self.calls += 1
        for note in notes:
            known = self.notes.get(note.partition, note)
            self.notes[note.partition] = ArchiveNote(
                note.partition, max(known.position, note.position), max(known.passed_ms, note.passed_ms)
            )
        for mark in marks:
            key = (mark.edge_id, mark.hour_ms)
            known_mark = self.edge_marks.get(key, mark)
            newest = mark if mark.ts_ms >= known_mark.ts_ms else known_mark
            self.edge_marks[key] = EdgeMark(
                mark.edge_id,
                mark.hour_ms,
                mark.partition,
                max(mark.last_seq, known_mark.last_seq),
                newest.ts_ms,
                mark.closed or known_mark.closed,
                newest.oldest_spooled_ts_ms,
            )
        self.known_absences |= set(absences)

    def archive(self) -> list[ArchiveNote]:
        self._answer()
        return [self.notes[partition] for partition in sorted(self.notes)]

    def want_archived(self, now_ms: int) -> None:
        self._answer()
        self.wanted_ms = max(self.wanted_ms, now_ms)

    def archive_wanted_ms(self) -> int:
        self._answer()
        return self.wanted_ms

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailableError("the ledger is away")
