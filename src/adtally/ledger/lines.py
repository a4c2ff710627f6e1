"""Writing lines, prepared and for good, inside a transaction of the caller."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, literal, select, update

from adtally.ledger import schema
from adtally.ledger.port import EdgeEvents, HourLine
from adtally.ledger.rows import row_of
from adtally.olap.port import Grain, Span
from adtally.sqldb import replace_statement

COMMIT: Final = "commit"


class Prepared(msgspec.Struct, frozen=True):
    """A line that waits for its numbers to be published, and the edges whose events it counts."""

    line: HourLine
    edges: tuple[EdgeEvents, ...]


_decode: Final = msgspec.json.Decoder(Prepared).decode


def add(connection: Connection, line: HourLine, edges: Sequence[EdgeEvents] | None) -> int:
    """Add a line under the next number, which is given, and put its edges in the place of the hour's."""
    commit = _next_commit(connection)
    connection.execute(schema.line.insert(), row_of(line, commit))
    if edges is not None:
        connection.execute(delete(schema.hour_edge).where(schema.hour_edge.c.hour_ms == line.hour_ms))
    if edges:
        hour = {"hour_ms": line.hour_ms}
        connection.execute(schema.hour_edge.insert(), [hour | msgspec.structs.asdict(edge) for edge in edges])
    return commit


def prepare(
    connection: Connection, line: HourLine, edges: Sequence[EdgeEvents], cells: Sequence[dict[str, Any]]
) -> None:
    """Keep a line with its edges and the rows of its changed cells."""
    document = msgspec.json.encode(Prepared(line, tuple(edges))).decode()
    connection.execute(schema.prepared.insert(), {"hour_ms": line.hour_ms, "document": document})
    if cells:
        connection.execute(schema.prepared_changed.insert(), [{"hour_ms": line.hour_ms, **row} for row in cells])


def prepared(connection: Connection, hour_ms: int) -> Prepared | None:
    """Give what is prepared of an hour."""
    column = schema.prepared.c
    text = connection.execute(select(column.document).where(column.hour_ms == hour_ms)).scalar_one_or_none()
    return None if text is None else _decode(text)


def confirm(connection: Connection, hour_ms: int) -> int:
    """Turn what is prepared of an hour into its newest line and give its number; 0 if nothing is."""
    found = prepared(connection, hour_ms)
    if found is None:
        return 0
    commit = add(connection, found.line, found.edges)
    waiting = schema.prepared_changed.c
    cells = select(literal(commit), waiting.first_index, waiting.cells).where(waiting.hour_ms == hour_ms)
    connection.execute(schema.changed.insert().from_select(["commit", "first_index", "cells"], cells))
    discard(connection, hour_ms)
    return commit


def discard(connection: Connection, hour_ms: int) -> None:
    """Forget what is prepared of an hour."""
    for table in (schema.prepared, schema.prepared_changed):
        connection.execute(delete(table).where(table.c.hour_ms == hour_ms))


def note_spans(connection: Connection, spans: Sequence[Span]) -> None:
    """Note published partitions."""
    if spans:
        rows = [
            {"grain": span.grain, "start_ms": span.start_ms, "row_count": span.rows, "events": span.events}
            for span in spans
        ]
        connection.execute(replace_statement(connection.dialect, schema.span), rows)


def forget_spans(connection: Connection, places: Sequence[tuple[Grain, int]]) -> None:
    """Forget published partitions."""
    span = schema.span.c
    for grain, start_ms in places:
        connection.execute(delete(schema.span).where(span.grain == grain, span.start_ms == start_ms))


def _next_commit(connection: Connection) -> int:
    """Take the next number. Whoever else writes a line waits, so numbers become visible in their order."""
    latest = schema.latest.c
    mine = latest.name == COMMIT
    connection.execute(update(schema.latest).where(mine).values(value=latest.value + 1))
    return int(connection.execute(select(latest.value).where(mine)).scalar_one())
