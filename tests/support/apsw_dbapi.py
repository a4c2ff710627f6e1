"""Python's database interface (PEP 249, as far as SQLAlchemy's SQLite dialect asks for it) over apsw.

The standard library's sqlite3 knows no file systems of ours; through this a SQL database lives on a simulated disk.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import apsw
from sqlalchemy import Engine, create_engine


class ApswModule:
    """What SQLAlchemy takes for the driver's module. Each engine has one, which knows the engine's connections."""

    paramstyle = "qmark"
    apilevel = "2.0"
    threadsafety = 1
    sqlite_version_info = tuple(map(int, apsw.sqlite_lib_version().split(".")))
    Error = sqlite3.Error
    DatabaseError = sqlite3.DatabaseError
    OperationalError = sqlite3.OperationalError
    IntegrityError = sqlite3.IntegrityError
    ProgrammingError = sqlite3.ProgrammingError
    InterfaceError = sqlite3.InterfaceError
    DataError = sqlite3.DataError
    InternalError = sqlite3.InternalError
    NotSupportedError = sqlite3.NotSupportedError

    def __init__(self, vfs: str) -> None:
        self._vfs = vfs
        self._connections: list[apsw.Connection] = []

    def connect(self, file: str, **_: object) -> "ApswConnection":
        with _translated():
            connection = apsw.Connection(file, vfs=self._vfs)
        self._connections.append(connection)
        return ApswConnection(connection)

    def close_all(self) -> None:
        """Close every connection, whatever is under way in it."""
        for connection in self._connections:
            # Whoever leaves last moves the write-ahead log into the file, which a broken disk does not let it.
            with suppress(apsw.Error):
                connection.close(True)
        self._connections.clear()


class ApswConnection:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.isolation_level: str | None = None

    def cursor(self) -> "ApswCursor":
        return ApswCursor(self._connection)

    def execute(self, sql: str) -> "ApswCursor":
        return self.cursor().execute(sql)

    def create_function(self, name: str, arguments: int, function: Callable[..., Any], **_: object) -> None:
        self._connection.create_scalar_function(name, function, arguments)

    def commit(self) -> None:
        if self._connection.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close(True)


class ApswCursor:
    arraysize = 1
    lastrowid = None

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._cursor.exec_trace = self._note
        self._rows: Iterator[Any] = iter(())
        self.description: Any = None
        self.rowcount = -1

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> "ApswCursor":
        self.description = None
        with _translated():
            self._rows = iter(self._cursor.execute(sql, tuple(parameters)).fetchall())
        self.rowcount = self._connection.changes()
        return self

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> "ApswCursor":
        self.description = None
        with _translated():
            self._cursor.executemany(sql, map(tuple, parameters))
        return self

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[Any]:
        return [row for _, row in zip(range(size), self._rows, strict=False)]

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def close(self) -> None:
        self._cursor.close(True)

    def _note(self, cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
        # Only now is it known what the rows are, if there are any: once the last one was given it is forgotten.
        description = cursor.get_description()
        self.description = [(name, None, None, None, None, None, None) for name, *_ in description] or None
        return True


def apsw_engine(vfs: str) -> Callable[..., Engine]:
    """Give what takes create_engine's place where the files are on the disk `vfs`."""

    def create(url: str, **arguments: Any) -> Engine:
        return create_engine(url, module=ApswModule(vfs), **arguments)

    return create


def close_all(engine: Engine) -> None:
    """Close an engine's connections as the end of a process does."""
    module: Any = engine.dialect.dbapi
    module.close_all()
    engine.dispose(close=False)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.ConstraintError as error:
        raise sqlite3.IntegrityError(str(error)) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise sqlite3.DatabaseError(str(error)) from error
    except apsw.Error as error:
        raise sqlite3.OperationalError(str(error)) from error
