"""A ledger in plain Python: what `ledger/port.py` asks for, written so that one can see that it is right."""

from collections.abc import Sequence

import msgspec

from adtally.errors import StoreUnavailableError
from adtally.ledger.port import (
    CHANGED_KEYS_MAX,
    Absence,
    ArchiveNote,
    EdgeEvents,
    EdgeMark,
    HourLine,
    LineSummary,
)
from adtally.olap.port import CellDifference, Grain, Span


class MemoryLedger:
    """Implements Ledger, for one thread at a time."""

    def __init__(self) -> None:
        self.notes: dict[str, ArchiveNote] = {}
        self.edge_marks: dict[tuple[str, int], EdgeMark] = {}
        self.absent: dict[tuple[str, int, int], Absence] = {}
        self.wanted_ms = 0
        self.written: list[HourLine] = []
        self.changed_keys: dict[int, list[CellDifference]] = {}
        self.hour_edges: dict[int, list[EdgeEvents]] = {}
        self.waiting: dict[int, tuple[HourLine, list[EdgeEvents], list[CellDifference]]] = {}
        self.published: dict[tuple[Grain, int], Span] = {}

    def note_archived(
        self, notes: Sequence[ArchiveNote], marks: Sequence[EdgeMark], absences: Sequence[Absence]
    ) -> None:
        for note in notes:
            old = self.notes.get(note.partition, note)
            position = old.position if old.position.encode() > note.position.encode() else note.position
            self.notes[note.partition] = ArchiveNote(note.partition, position, max(old.passed_ms, note.passed_ms))
        for mark in marks:
            before = self.edge_marks.get((mark.edge_id, mark.hour_ms), mark)
            newer = mark.ts_ms >= before.ts_ms and mark.last_seq >= before.last_seq
            self.edge_marks[mark.edge_id, mark.hour_ms] = msgspec.structs.replace(
                mark if newer else before,
                last_seq=max(mark.last_seq, before.last_seq),
                ts_ms=max(mark.ts_ms, before.ts_ms),
                closed=mark.closed or before.closed,
            )
        for absence in absences:
            self.absent.setdefault((absence.edge_id, absence.first_seq, absence.last_seq), absence)

    def archive(self) -> list[ArchiveNote]:
        return sorted(self.notes.values(), key=lambda note: note.partition)

    def want_archived(self, now_ms: int) -> None:
        self.wanted_ms = max(self.wanted_ms, now_ms)

    def archive_wanted_ms(self) -> int:
        return self.wanted_ms

    def line(self, hour_ms: int) -> HourLine | None:
        return next(iter(self.history(hour_ms)[-1:]), None)

    def lines(self, start_ms: int, end_ms: int, limit: int = 1_000_000) -> list[HourLine]:
        newest = {line.hour_ms: line for line in self.written if start_ms <= line.hour_ms < end_ms}
        return [newest[hour_ms] for hour_ms in sorted(newest)][:limit]

    def history(self, hour_ms: int) -> list[HourLine]:
        return [line for line in self.written if line.hour_ms == hour_ms]

    def summaries(self, after: int = 0) -> list[LineSummary]:
        names = LineSummary.__struct_fields__
        return [LineSummary(*(getattr(line, name) for name in names)) for line in self.written if line.commit > after]

    def bounds(self) -> tuple[int, int] | None:
        hours = [line.hour_ms for line in self.written]
        return (min(hours), max(hours)) if hours else None

    def last_commit(self) -> int:
        return len(self.written)

    def write(
        self,
        line: HourLine,
        edges: Sequence[EdgeEvents] | None = None,
        changed: Sequence[CellDifference] = (),
        spans: Sequence[Span] = (),
        dirty: Sequence[tuple[Grain, int]] = (),
    ) -> int:
        commit = len(self.written) + 1
        self.written.append(msgspec.structs.replace(line, commit=commit))
        self.changed_keys[commit] = list(changed[:CHANGED_KEYS_MAX])
        if edges is not None:
            self.hour_edges[line.hour_ms] = list(edges)
        self.note_spans(spans)
        for place in dirty:
            self.published.pop(place, None)
        return commit

    def prepare(self, line: HourLine, edges: Sequence[EdgeEvents], changed: Sequence[CellDifference]) -> None:
        self.waiting[line.hour_ms] = (line, list(edges), list(changed))

    def prepared(self, hour_ms: int) -> HourLine | None:
        return self.waiting[hour_ms][0] if hour_ms in self.waiting else None

    def confirm(self, hour_ms: int, spans: Sequence[Span], dirty: Sequence[tuple[Grain, int]]) -> int:
        if hour_ms not in self.waiting:
            return 0
        return self.write(*self.waiting.pop(hour_ms), spans, dirty)

    def discard(self, hour_ms: int) -> None:
        self.waiting.pop(hour_ms, None)

    def touch(self, hour_ms: int, files: str) -> None:
        for index in reversed(range(len(self.written))):
            if self.written[index].hour_ms == hour_ms:
                self.written[index] = msgspec.structs.replace(self.written[index], files=files)
                return

    def note_spans(self, spans: Sequence[Span]) -> None:
        self.published |= {(span.grain, span.start_ms): span for span in spans}

    def forget_spans(self, grain: Grain, starts_ms: Sequence[int]) -> None:
        for start_ms in starts_ms:
            self.published.pop((grain, start_ms), None)

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        found = [span for span in self.published.values() if span.grain == grain]
        return sorted((s for s in found if start_ms <= s.start_ms < end_ms), key=lambda span: span.start_ms)

    def changed(self, commit: int, after: int = 0, limit: int = 1_000) -> list[CellDifference]:
        return self.changed_keys.get(commit, [])[after : after + limit]

    def edges(self, hour_ms: int) -> list[EdgeEvents]:
        return sorted(self.hour_edges.get(hour_ms, []), key=lambda edge: edge.edge_id)

    def marks(self, edge_ids: Sequence[str], before_ms: int) -> list[EdgeMark]:
        earlier = [mark for mark in self.edge_marks.values() if mark.hour_ms < before_ms and mark.edge_id in edge_ids]
        return _newest_by_edge(earlier)

    def marks_of_hour(self, hour_ms: int) -> list[EdgeMark]:
        return _newest_by_edge([mark for mark in self.edge_marks.values() if mark.hour_ms == hour_ms])

    def open_edges(self) -> list[EdgeMark]:
        closed = {mark.edge_id for mark in self.edge_marks.values() if mark.closed}
        return _newest_by_edge([mark for mark in self.edge_marks.values() if mark.edge_id not in closed])

    def last_seq_before(self, edge_ids: Sequence[str], hour_ms: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for at_ms, edges in self.hour_edges.items():
            for edge in edges:
                if at_ms < hour_ms and edge.edge_id in edge_ids:
                    found[edge.edge_id] = max(found.get(edge.edge_id, 0), edge.last_seq)
        return found

    def absences(self, edge_ids: Sequence[str]) -> list[Absence]:
        return [self.absent[place] for place in sorted(self.absent) if place[0] in edge_ids]

    def ping(self) -> None:
        pass

    def close(self) -> None:
        pass


def _newest_by_edge(marks: list[EdgeMark]) -> list[EdgeMark]:
    newest = {mark.edge_id: mark for mark in sorted(marks, key=lambda mark: mark.hour_ms)}
    return [newest[edge_id] for edge_id in sorted(newest)]


class MovingLedger(MemoryLedger):
    """The archiver's side of a ledger that can be away, and that tells how often it was told something."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.calls = 0

    @property
    def known_absences(self) -> set[Absence]:
        return set(self.absent.values())

    def note_archived(
        self, notes: Sequence[ArchiveNote], marks: Sequence[EdgeMark], absences: Sequence[Absence]
    ) -> None:
        self._answer()
        self.calls += 1
        super().note_archived(notes, marks, absences)

    def archive_wanted_ms(self) -> int:
        self._answer()
        return super().archive_wanted_ms()

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailableError("the ledger is away")
