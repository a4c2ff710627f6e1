"""Sign-in sessions in the registry's database: what one API server opens, all of them know."""

from pathlib import Path

from sqlalchemy import ColumnElement, Connection, delete, func, select, true

from adtally.registry import schema
from adtally.registry.port import OpenSession
from adtally.sqldb import SqlDatabase


class SqlSessions:
    """Implements registry.port.SessionStore. Thread-safe."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, place: Path | str) -> "SqlSessions":
        """Open the registry's SQLite file or database URL; see SqlDatabase.open."""
        return cls(SqlDatabase.open(place, "registry", schema.MIGRATIONS))

    def add(self, session: OpenSession, now_ms: int, of_key_max: int, all_max: int) -> None:
        """Keep a session; see the port."""
        column = schema.session.c
        with self._database.transaction(write=True) as connection:
            connection.execute(delete(schema.session).where(column.ends_ms <= now_ms))
            last = connection.execute(select(func.max(column.number))).scalar_one()
            row = {
                "token_hash": session.token_hash,
                "key_id": session.key_id,
                "ends_ms": session.ends_ms,
                "number": (last or 0) + 1,
            }
            connection.execute(schema.session.insert(), row)
            _keep_newest(connection, column.key_id == session.key_id, of_key_max)
            _keep_newest(connection, true(), all_max)

    def key_id(self, token_hash: str, now_ms: int) -> str | None:
        """Give the key of a session; see the port."""
        column = schema.session.c
        valid = (column.token_hash == token_hash) & (column.ends_ms > now_ms)
        rows = self._database.rows(select(column.key_id).where(valid))
        return rows[0][0] if rows else None

    def remove(self, token_hash: str) -> None:
        """End a session; see the port."""
        with self._database.transaction(write=True) as connection:
            connection.execute(delete(schema.session).where(schema.session.c.token_hash == token_hash))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()


def _keep_newest(connection: Connection, which: ColumnElement[bool], number_max: int) -> None:
    column = schema.session.c
    newest = select(column.number).where(which).order_by(column.number.desc())
    oldest_kept = connection.execute(newest.offset(number_max - 1).limit(1)).scalar_one_or_none()
    if oldest_kept is not None:
        connection.execute(delete(schema.session).where(which, column.number < oldest_kept))
