"""The ledger in a SQL database: SQLite for one machine, PostgreSQL for many."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, and_, func, select, update

from adtally.ledger import lines, schema
from adtally.ledger.port import (
    CHANGED_KEYS_MAX,
    Absence,
    ArchiveNote,
    EdgeEvents,
    EdgeMark,
    HourLine,
    LineSummary,
)
from adtally.ledger.rows import CELLS_OF_ROW, cells_of_text, line_of, rows_of_cells
from adtally.ledger.statements import mark_statement, newest_marks_statement
from adtally.olap.port import CellDifference, Grain, Span
from adtally.sqldb import SqlDatabase, dialect_insert, json_texts, replace_statement

BUSY_TIMEOUT_S: Final = 60
"""A line with a million changed keys takes a second or more; who waits for it must not give up."""

_ARCHIVE_WANTED: Final = "archive wanted"


class SqlLedger:
    """Implements ledger.port.Ledger. Thread-safe; other processes may have the same database open."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, place: Path | str) -> "SqlLedger":
        """Open a SQLite file or a database URL; see SqlDatabase.open."""
        return cls(SqlDatabase.open(place, "ledger", schema.MIGRATIONS, busy_timeout_s=BUSY_TIMEOUT_S))

    def note_archived(
        self, notes: Sequence[ArchiveNote], marks: Sequence[EdgeMark], absences: Sequence[Absence]
    ) -> None:
        """Note what a flush made durable; see the port."""
        dialect = self._database.dialect
        with self._database.transaction(write=True) as connection:
            _advance(connection, notes)
            if marks:
                rows = [msgspec.structs.asdict(mark) | {"closed": int(mark.closed)} for mark in marks]
                connection.execute(mark_statement(dialect), rows)
            if absences:
                statement = dialect_insert(dialect, schema.absence).on_conflict_do_nothing()
                connection.execute(statement, [msgspec.structs.asdict(absence) for absence in absences])

    def archive(self) -> list[ArchiveNote]:
        """Give how far the lake reaches, by partition."""
        rows = self._database.rows(select(schema.archive).order_by(schema.archive.c.partition))
        return [ArchiveNote(*row) for row in rows]

    def want_archived(self, now_ms: int) -> None:
        """Ask the archiver to pass what the log holds at `now_ms` soon."""
        latest = schema.latest.c
        later = and_(latest.name == _ARCHIVE_WANTED, latest.value < now_ms)
        with self._database.transaction(write=True) as connection:
            connection.execute(update(schema.latest).where(later).values(value=now_ms))

    def archive_wanted_ms(self) -> int:
        """Give the latest time that was asked for, 0 before the first."""
        return self._latest(_ARCHIVE_WANTED)

    def line(self, hour_ms: int) -> HourLine | None:
        """Give the newest line of an hour."""
        line = schema.line.c
        newest = select(schema.line).where(line.hour_ms == hour_ms).order_by(line.commit.desc()).limit(1)
        return next(iter(self._lines(newest)), None)

    def lines(self, start_ms: int, end_ms: int, limit: int = 1_000_000) -> list[HourLine]:
        """Give the newest line of each hour that begins in [start_ms, end_ms), by hour."""
        line = schema.line.c
        newest = (
            select(func.max(line.commit))
            .where(line.hour_ms >= start_ms, line.hour_ms < end_ms)
            .group_by(line.hour_ms)
            .order_by(line.hour_ms)
            .limit(limit)
        )
        return self._lines(select(schema.line).where(line.commit.in_(newest)).order_by(line.hour_ms))

    def history(self, hour_ms: int) -> list[HourLine]:
        """Give all lines of an hour, oldest first."""
        line = schema.line.c
        return self._lines(select(schema.line).where(line.hour_ms == hour_ms).order_by(line.commit))

    def summaries(self, after: int = 0) -> list[LineSummary]:
        """Give the lines with greater numbers than `after` in short, by number."""
        line = schema.line.c
        columns = [line[name] for name in LineSummary.__struct_fields__]
        rows = self._database.rows(select(*columns).where(line.commit > after).order_by(line.commit))
        return [LineSummary(*row) for row in rows]

    def bounds(self) -> tuple[int, int] | None:
        """Give the first and the last hour that has a line, None without any."""
        # Two look-ups in the index; min and max in one query would read all of it.
        first, last = (select(which(schema.line.c.hour_ms)).scalar_subquery() for which in (func.min, func.max))
        found = self._database.rows(select(first, last))[0]
        return None if found[0] is None else (found[0], found[1])

    def last_commit(self) -> int:
        """Give the number of the newest line, 0 without any."""
        return self._latest(lines.COMMIT)

    def write(
        self,
        line: HourLine,
        edges: Sequence[EdgeEvents] | None = None,
        changed: Sequence[CellDifference] = (),
        spans: Sequence[Span] = (),
        dirty: Sequence[tuple[Grain, int]] = (),
    ) -> int:
        """Add a line and give its number; see the port."""
        # Before the transaction: others wait for its end.
        cells = list(rows_of_cells(changed[:CHANGED_KEYS_MAX]))
        with self._database.transaction(write=True) as connection:
            commit = lines.add(connection, line, edges)
            if cells:
                connection.execute(schema.changed.insert(), [{"commit": commit, **row} for row in cells])
            lines.note_spans(connection, spans)
            lines.forget_spans(connection, dirty)
        return commit

    def prepare(self, line: HourLine, edges: Sequence[EdgeEvents], changed: Sequence[CellDifference]) -> None:
        """Keep a line whose numbers are about to be published; see the port."""
        cells = list(rows_of_cells(changed[:CHANGED_KEYS_MAX]))
        with self._database.transaction(write=True) as connection:
            lines.discard(connection, line.hour_ms)
            lines.prepare(connection, line, edges, cells)

    def prepared(self, hour_ms: int) -> HourLine | None:
        """Give an hour's prepared line."""
        with self._database.transaction() as connection:
            found = lines.prepared(connection, hour_ms)
        return None if found is None else found.line

    def confirm(self, hour_ms: int, spans: Sequence[Span], dirty: Sequence[tuple[Grain, int]]) -> int:
        """Write an hour's prepared line and give its number; see the port."""
        with self._database.transaction(write=True) as connection:
            commit = lines.confirm(connection, hour_ms)
            if commit:
                lines.note_spans(connection, spans)
                lines.forget_spans(connection, dirty)
        return commit

    def discard(self, hour_ms: int) -> None:
        """Forget an hour's prepared line."""
        with self._database.transaction(write=True) as connection:
            lines.discard(connection, hour_ms)

    def touch(self, hour_ms: int, files: str) -> None:
        """Note on an hour's newest line that files with another fingerprint hold the same events."""
        line = schema.line.c
        newest = select(func.max(line.commit)).where(line.hour_ms == hour_ms).scalar_subquery()
        with self._database.transaction(write=True) as connection:
            connection.execute(update(schema.line).where(line.commit == newest).values(files=files))

    def note_spans(self, spans: Sequence[Span]) -> None:
        """Note published days and months."""
        with self._database.transaction(write=True) as connection:
            lines.note_spans(connection, spans)

    def forget_spans(self, grain: Grain, starts_ms: Sequence[int]) -> None:
        """Forget published partitions, which are to be published anew."""
        with self._database.transaction(write=True) as connection:
            lines.forget_spans(connection, [(grain, start_ms) for start_ms in starts_ms])

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        """Give the published partitions of a final table that begin in [start_ms, end_ms), by start."""
        span = schema.span.c
        wanted = and_(span.grain == grain, span.start_ms >= start_ms, span.start_ms < end_ms)
        return [Span(*row) for row in self._database.rows(select(schema.span).where(wanted).order_by(span.start_ms))]

    def changed(self, commit: int, after: int = 0, limit: int = 1_000) -> list[CellDifference]:
        """Give the keys that a line changed, leaving out the first `after`; see the port."""
        column = schema.changed.c
        begin = after - after % CELLS_OF_ROW
        held = and_(column.commit == commit, column.first_index >= begin, column.first_index < after + limit)
        rows = self._database.rows(select(column.cells).where(held).order_by(column.first_index))
        cells = [cell for (text,) in rows for cell in cells_of_text(text)]
        return cells[after - begin : after - begin + limit]

    def edges(self, hour_ms: int) -> list[EdgeEvents]:
        """Give the edges that have events in an hour, as last recounted, by edge_id."""
        edge = schema.hour_edge.c
        columns = [edge[name] for name in EdgeEvents.__struct_fields__]
        rows = self._database.rows(select(*columns).where(edge.hour_ms == hour_ms).order_by(edge.edge_id))
        return [EdgeEvents(*row) for row in rows]

    def marks(self, edge_ids: Sequence[str], before_ms: int) -> list[EdgeMark]:
        """Give for each of the edges its newest mark of an hour before `before_ms`, by edge_id."""
        return _marks(self._of_edges(newest_marks_statement(self._database.dialect), edge_ids, before_ms=before_ms))

    def marks_of_hour(self, hour_ms: int) -> list[EdgeMark]:
        """Give the marks of one hour, by edge_id."""
        mark = schema.mark.c
        return _marks(self._database.rows(select(schema.mark).where(mark.hour_ms == hour_ms).order_by(mark.edge_id)))

    def open_edges(self) -> list[EdgeMark]:
        """Give the newest mark of each edge that never closed, by edge_id."""
        mark = schema.mark.c
        newest = (
            select(mark.edge_id, func.max(mark.hour_ms).label("hour_ms"))
            .group_by(mark.edge_id)
            .having(func.max(mark.closed) == 0)
            .subquery()
        )
        joined = schema.mark.join(newest, and_(mark.edge_id == newest.c.edge_id, mark.hour_ms == newest.c.hour_ms))
        return _marks(self._database.rows(select(schema.mark).select_from(joined).order_by(mark.edge_id)))

    def last_seq_before(self, edge_ids: Sequence[str], hour_ms: int) -> dict[str, int]:
        """Give for each edge the greatest number that its events of earlier hours have; absent without any."""
        edge = schema.hour_edge.c
        statement = (
            select(edge.edge_id, func.max(edge.last_seq))
            .where(edge.edge_id.in_(json_texts(self._database.dialect)), edge.hour_ms < hour_ms)
            .group_by(edge.edge_id)
        )
        return dict(tuple(row) for row in self._of_edges(statement, edge_ids))

    def absences(self, edge_ids: Sequence[str]) -> list[Absence]:
        """Give what is known to be absent of the given edges, by edge and number."""
        absence = schema.absence.c
        statement = (
            select(schema.absence)
            .where(absence.edge_id.in_(json_texts(self._database.dialect)))
            .order_by(absence.edge_id, absence.first_seq, absence.last_seq)
        )
        return [Absence(*row) for row in self._of_edges(statement, edge_ids)]

    def ping(self) -> None:
        """Return if the database answers. Raises StoreUnavailableError."""
        self._database.ping()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def _latest(self, name: str) -> int:
        found = self._database.rows(select(schema.latest.c.value).where(schema.latest.c.name == name))
        return int(found[0][0])

    def _lines(self, statement: Select[Any]) -> list[HourLine]:
        with self._database.transaction() as connection:
            return [line_of(row._asdict()) for row in connection.execute(statement)]

    def _of_edges(self, statement: Select[Any], edge_ids: Sequence[str], **parameters: int) -> list[Any]:
        with self._database.transaction() as connection:
            ids = msgspec.json.encode(sorted(set(edge_ids))).decode()
            return list(connection.execute(statement, {"ids": ids, **parameters}).all())


def _advance(connection: Connection, notes: Sequence[ArchiveNote]) -> None:
    # Compared here, where texts are ordered as their UTF-8 is: each database would want to be told so in its own words.
    known = {row[0]: ArchiveNote(*row) for row in connection.execute(select(schema.archive))}
    moved: dict[str, ArchiveNote] = {}
    for note in notes:
        before = moved.get(note.partition, known.get(note.partition, note))
        position = max(before.position, note.position)
        moved[note.partition] = ArchiveNote(note.partition, position, max(before.passed_ms, note.passed_ms))
    if moved:
        rows = [msgspec.structs.asdict(note) for note in moved.values()]
        connection.execute(replace_statement(connection.dialect, schema.archive), rows)


def _marks(rows: Sequence[Any]) -> list[EdgeMark]:
    return [
        EdgeMark(edge_id, hour_ms, partition, last_seq, ts_ms, bool(closed), oldest_spooled_ts_ms)
        for edge_id, hour_ms, partition, last_seq, ts_ms, closed, oldest_spooled_ts_ms in rows
    ]
