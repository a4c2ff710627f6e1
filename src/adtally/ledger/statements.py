"""Statements about edges' marks, written for each database in its own words."""

from typing import Any

from sqlalchemy import BigInteger, Dialect, Select, and_, bindparam, case, func, select

from adtally.ledger import schema
from adtally.sqldb import dialect_insert, json_texts


def mark_statement(dialect: Dialect) -> Any:  # noqa: ANN401 - each dialect has a class of its own
    """Give the statement that notes a mark: numbers and times only grow, and what closed stays closed."""
    insert = dialect_insert(dialect, schema.mark)
    old, new = schema.mark.c, insert.excluded
    newer = and_(new.ts_ms >= old.ts_ms, new.last_seq >= old.last_seq)
    greatest = {
        name: case((new[name] > old[name], new[name]), else_=old[name]) for name in ("last_seq", "ts_ms", "closed")
    }
    newest = {name: case((newer, new[name]), else_=old[name]) for name in ("partition", "oldest_spooled_ts_ms")}
    return insert.on_conflict_do_update(index_elements=["edge_id", "hour_ms"], set_=greatest | newest)


def newest_marks_statement(dialect: Dialect) -> Select[Any]:
    """Give the query for the newest mark before the hour `before_ms` of each edge in the JSON array `ids`."""
    mark = schema.mark.c
    newest = (
        select(mark.edge_id, func.max(mark.hour_ms).label("hour_ms"))
        .where(mark.edge_id.in_(json_texts(dialect)), mark.hour_ms < bindparam("before_ms", type_=BigInteger))
        .group_by(mark.edge_id)
        .subquery()
    )
    joined = schema.mark.join(newest, and_(mark.edge_id == newest.c.edge_id, mark.hour_ms == newest.c.hour_ms))
    return select(schema.mark).select_from(joined).order_by(mark.edge_id)
