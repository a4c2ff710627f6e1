"""A SQL database as registry and ledger use it: SQLite for one machine, PostgreSQL for many (SQLAlchemy Core, no ORM).

Tables are made by numbered migrations (`migrations.py`).
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BindParameter,
    Connection,
    Dialect,
    Engine,
    Select,
    Table,
    bindparam,
    cast,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from adtally.errors import ConfigError, DataFolderError, StoreUnavailableError
from adtally.migrations import migrate

BUSY_TIMEOUT_S: Final = 10
"""How long a writer waits for another process's transaction; an import's batch takes a tenth of a second."""

CACHE_KIB: Final = 64 * 1024
CHECKPOINT_PAGES: Final = 16_384
"""64 MiB of WAL: imports in random order write a page once per checkpoint instead of once per batch."""

WAL_TRIES: Final = 20

_WRITES: Final = "adtally_writes"
_POSTGRESQL: Final = "postgresql"


class SqlDatabase:
    """An open database. Thread-safe. `name` says in messages what it is: registry, ledger."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})
        self._name = name

    @classmethod
    def open(
        cls, place: Path | str, name: str, migrations: Path, *, busy_timeout_s: int = BUSY_TIMEOUT_S
    ) -> "SqlDatabase":
        """Open a SQLite file (a path, made if it is not there) or a database URL, and migrate it.

        Raises DataFolderError for a file that is no such database or a newer one's, StoreUnavailableError if it does
        not answer, ConfigError for a URL that is none.
        """
        if isinstance(place, Path):
            engine = _sqlite_engine(place, busy_timeout_s)
        else:
            engine = _postgres_engine(place, name, busy_timeout_s)
        database = cls(engine, name)
        try:
            with database.transaction(write=True) as connection:
                migrate(connection, migrations, name, place if isinstance(place, Path) else None)
        except Exception:
            engine.dispose()
            raise
        return database

    @classmethod
    def connect(cls, url: str, name: str) -> "SqlDatabase":
        """Take a database that somebody else makes and migrates; it is reached when it is first asked.

        Raises ConfigError for a URL that is none.
        """
        return cls(_postgres_engine(url, name, BUSY_TIMEOUT_S), name)

    @property
    def dialect(self) -> Dialect:
        """Give what SQL the database speaks."""
        return self._engine.dialect

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Connection]:
        """Give a connection for one transaction, durable at its end.

        Raises StoreUnavailableError if the database does not answer, DataFolderError if it is damaged.
        """
        engine = self._writer if write else self._engine
        try:
            with engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DBAPIError as error:
            if self._is_away(error):
                text = f"the {self._name} {engine.url!r} does not answer ({error.orig})"
                raise StoreUnavailableError(text) from error
            if isinstance(error, DatabaseError):
                text = f"{engine.url!r} is no adtally {self._name}, or damaged ({error.orig})"
                raise DataFolderError(text) from error
            raise
        except NoConnectionError as error:
            text = f"the {self._name} {engine.url!r} does not answer (all connections wait for it)"
            raise StoreUnavailableError(text) from error

    @contextmanager
    def hold(self, name: str) -> Iterator[Callable[[], bool]]:
        """Give what tells whether this process is the one of all that has the lock `name` now.

        It has it, if it gets it at all, until the end or until its connection breaks. A SQLite file is used by one
        system, whose folder's lock says the same. Raises StoreUnavailableError if the database does not answer.
        """
        if self.dialect.name != _POSTGRESQL:
            yield lambda: True
            return
        from adtally.postgres import holds, try_hold

        with ExitStack() as stack:
            try:
                connection = stack.enter_context(self._engine.connect())
                connection.execution_options(isolation_level="AUTOCOMMIT")
                try_hold(connection, name)
            except (DBAPIError, NoConnectionError) as error:
                text = f"the {self._name} {self._engine.url!r} does not answer"
                raise StoreUnavailableError(text) from error

            def held() -> bool:
                try:
                    return holds(connection, name)
                except DBAPIError:
                    return False

            yield held
            # The lock belongs to the connection, which must not go back to the others with it.
            connection.invalidate()

    def rows(self, statement: Select[Any]) -> list[Any]:
        """Give all rows of a query, in a transaction of its own. Raises as `transaction`."""
        with self.transaction() as connection:
            return list(connection.execute(statement).all())

    def ping(self) -> None:
        """Return if the database answers. Raises StoreUnavailableError."""
        with self.transaction() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _is_away(self, error: DBAPIError) -> bool:
        if self._engine.dialect.name != _POSTGRESQL:
            return isinstance(error, OperationalError)
        from adtally.postgres import is_away

        return is_away(error.orig)


def lookup_statement(dialect: Dialect, table: Table) -> Select[Any]:
    """Give the query for the rows whose first key column's values stand in the parameter `ids`, a JSON array.

    One parameter: thousands of them cost more to prepare than to look up, and databases limit their number.
    """
    return select(table).where(next(iter(table.primary_key)).in_(json_texts(dialect)))


def json_texts(dialect: Dialect) -> Select[Any]:
    """Give the query for the texts in the parameter `ids`, a JSON array."""
    array: BindParameter[str] = bindparam("ids")
    if dialect.name == _POSTGRESQL:
        return select(func.json_array_elements_text(cast(array, JSON)))
    return select(func.json_each(array).table_valued("value").c.value)


def dialect_insert(dialect: Dialect, table: Table) -> Any:  # noqa: ANN401 - each dialect has a class of its own
    """Give an insert into `table` that knows ON CONFLICT."""
    # Imported by name: PostgreSQL's would cost each command a quarter of a second of drivers that it does not need.
    return import_module(f"sqlalchemy.dialects.{dialect.name}").insert(table)


def replace_statement(dialect: Dialect, table: Table) -> Any:  # noqa: ANN401 - each dialect has a class of its own
    """Give the statement that inserts a row, or replaces the one with its key."""
    statement = dialect_insert(dialect, table)
    rest = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)


def insert_statement(dialect: Dialect, table: Table, *, replace: bool) -> str:
    """Give the SQL that inserts a row or, where its key exists, replaces that row or leaves it alone."""
    if replace:
        statement = replace_statement(dialect, table)
    else:
        statement = dialect_insert(dialect, table).on_conflict_do_nothing()
    return str(statement.compile(dialect=dialect))


def _postgres_engine(url: str, name: str, busy_timeout_s: int) -> Engine:
    try:
        from adtally.postgres import begin, postgres_engine
    except ModuleNotFoundError as error:
        raise ConfigError(f"{name}.url needs {error.name}: install `adtally[cluster]`") from None
    engine = postgres_engine(url, name, busy_timeout_s)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        begin(connection, name, busy_timeout_s, writes=connection.get_execution_options().get(_WRITES, False))

    return engine


def _sqlite_engine(file: Path, busy_timeout_s: int) -> Engine:
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": busy_timeout_s})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # Transactions begin where we say so: the driver would begin them late, and not at all for DDL.
        connection.isolation_level = None
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later must hold the write lock from its start: SQLite cannot wait
        # for it in the middle (SQLITE_BUSY_SNAPSHOT).
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Set the journal mode, which SQLite does without waiting for others who open the same new file."""
    for _ in range(WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            # This does wait.
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")
