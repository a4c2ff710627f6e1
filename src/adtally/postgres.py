"""How registry and ledger reach a PostgreSQL server: what they bound, and whose errors mean that it is away.

Each has a schema of its own in the database that its URL names, so both may be given the same one.
"""

from typing import Any, Final, TypeVar
from zlib import crc32

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from adtally.errors import ConfigError

DIALECT: Final = "postgresql"

CONNECT_S_MAX: Final = 3
PING_S_MAX: Final = 2.0
"""A pooled connection is tried for so long before it is used: a server that hangs costs a caller 5 s, not a minute."""
READ_S_MAX: Final = 10.0
IDLE_IN_TRANSACTION_S: Final = 60
"""A client that vanished in a transaction holds the writers' lock for so long at most."""

CONNECTIONS: Final = 5
CONNECTIONS_MORE: Final = 20

LOCK_CLASS: Final = 0x41445459
"""Sets our advisory locks apart from those of other programs: ADTY."""

_Given = TypeVar("_Given")


class BoundedConnection(psycopg.Connection[TupleRow]):
    """Gives up on a server that is silent for too long: its statement timeouts cannot help while it is frozen."""

    answer_s_max: float = PING_S_MAX

    def wait(self, gen: PQGen[_Given], interval: float = 0.1, timeout: float | None = None) -> _Given:
        """Wait for one answer of the server. Raises OperationalError, and is of no use any more, if there is none."""
        try:
            return super().wait(gen, interval, self.answer_s_max if timeout is None else timeout)
        except errors._WaitTimeout:  # noqa: SLF001 - psycopg documents that `wait` raises it
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.answer_s_max:g} s") from None


def postgres_engine(url: str, name: str, write_s_max: float) -> Engine:
    """Give an engine whose connections see the schema `name`. Raises ConfigError for a URL that is none."""
    limits = {
        "search_path": name,
        "statement_timeout": round(write_s_max * 1000),
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_S * 1000,
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
    }
    arguments = {
        "connect_timeout": CONNECT_S_MAX,
        "application_name": f"adtally {name}",
        "options": " ".join(f"-c {limit}={value}" for limit, value in limits.items()),
    }
    try:
        engine = create_engine(
            url,
            paramstyle="format",
            connect_args=arguments,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=CONNECTIONS,
            max_overflow=CONNECTIONS_MORE,
            pool_timeout=CONNECT_S_MAX,
        )
    except ArgumentError:
        # Its text may quote the URL, and with it the password.
        raise ConfigError(f"{name}.url is no `postgresql+psycopg://user:password@host/database`") from None
    if engine.dialect.name != DIALECT or engine.driver != "psycopg":
        raise ConfigError(f"{name}.url must begin with postgresql+psycopg://, not {engine.url.drivername}://")

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _entry: object, given: tuple[Any, ...], named: dict[str, Any]) -> BoundedConnection:
        return BoundedConnection.connect(*given, **named)

    @event.listens_for(engine, "checkin")
    def _give_back(connection: BoundedConnection | None, _entry: ConnectionPoolEntry) -> None:
        if connection is not None:
            connection.answer_s_max = PING_S_MAX

    return engine


def begin(connection: Connection, name: str, write_s_max: float, *, writes: bool) -> None:
    """Begin a transaction; those that write follow each other, as SQLite's do.

    Each statement sees what was committed before it (READ COMMITTED). So who has the lock sees all that its
    predecessors wrote, and numbers that writers give become visible in their order. A stricter isolation would take its
    snapshot before it waits for the lock, and fail later for what it did not see.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)
    driver.answer_s_max = write_s_max if writes else READ_S_MAX
    if writes:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, {_lock_of(name)})")


def try_hold(connection: Connection, name: str) -> bool:
    """Take a lock until the connection ends, if nobody has it."""
    lock = f"{LOCK_CLASS}, {_lock_of(f'held {name}')}"
    return bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({lock})").scalar_one())


def holds(connection: Connection, name: str) -> bool:
    """Tell whether the connection has the lock: one that was lost and made anew has not."""
    # Locks with two keys show the first as classid and the second, without its sign, as objid.
    found = connection.exec_driver_sql(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
        "AND classid::bigint = %s AND objid::bigint = %s",
        (LOCK_CLASS, _lock_of(f"held {name}") % (1 << 32)),
    )
    return bool(found.scalar_one())


def is_away(error: BaseException | None) -> bool:
    """Tell whether a driver's error means that the server does not answer now, or is a standby of one that does."""
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError)


def byte_ordered(statement: str) -> str:
    """Give a statement that makes tables with its texts ordered by their bytes, as SQLite orders them."""
    return statement.replace(" TEXT", ' TEXT COLLATE "C"')


def _lock_of(name: str) -> int:
    """Give a signed number of 32 bits."""
    return crc32(name.encode()) - (1 << 31)
