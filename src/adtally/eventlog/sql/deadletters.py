"""Dead letters in a SQL database, which archivers, streams and API servers of several hosts share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    literal,
    select,
    tuple_,
    update,
)

from adtally.errors import DataFolderError, LogError, NotFoundError, StoreUnavailableError
from adtally.eventlog.port import DeadLetter, Partition, Position
from adtally.sqldb import SqlDatabase, dialect_insert

MIGRATIONS: Final = Path(__file__).with_name("migrations")

dead_letter: Final = Table(
    "dead_letter",
    MetaData(),
    # In the order of eventlog.port.DeadLetter, so that a row is the arguments of one.
    Column("partition", Text, primary_key=True),
    Column("position", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("found_ms", BigInteger, nullable=False),
    Column("replayed_ms", BigInteger),
)


class SqlDeadLetters:
    """Implements eventlog.port.DeadLetters. Thread-safe; any number of processes share the database."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, place: Path | str) -> "SqlDeadLetters":
        """Open a SQLite file or a database URL, the ledger's too: they have tables of their own there.

        Raises LogError, and ConfigError for a URL that is none.
        """
        with _log_errors("kept"):
            return cls(SqlDatabase.open(place, "deadletters", MIGRATIONS))

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters; those that are there already stay as they are. Raises LogError."""
        if not letters:
            return
        statement = dialect_insert(self._database.dialect, dead_letter).on_conflict_do_nothing()
        rows = [msgspec.structs.asdict(each) | {"reason": _storable(each.reason)} for each in letters]
        with self._transaction("kept", write=True) as connection:
            connection.execute(statement, rows)

    def list(self, limit: int, after: tuple[Partition, Position] | None = None) -> list[DeadLetter]:
        """Give letters by place. Raises LogError."""
        column = dead_letter.c
        statement = select(dead_letter).order_by(column.partition, column.position).limit(limit)
        if after is not None:
            last = tuple_(*(literal(part) for part in after))
            statement = statement.where(tuple_(column.partition, column.position) > last)
        with self._transaction("read") as connection:
            return [_letter(row) for row in connection.execute(statement)]

    def get(self, partition: Partition, position: Position) -> DeadLetter:
        """Give one letter. Raises NotFoundError and LogError."""
        column = dead_letter.c
        at = (column.partition == partition) & (column.position == position)
        with self._transaction("read") as connection:
            row = connection.execute(select(dead_letter).where(at)).first()
        if row is None:
            raise NotFoundError(
                f"no dead letter {partition} {position}: `adtally deadletters list` shows what there is"
            )
        return _letter(row)

    def mark_replayed(self, partition: Partition, position: Position, now_ms: int) -> None:
        """Note when a letter was replayed. Raises LogError."""
        column = dead_letter.c
        at = (column.partition == partition) & (column.position == position)
        with self._transaction("kept", write=True) as connection:
            connection.execute(update(dead_letter).where(at).values(replayed_ms=now_ms))

    def count(self) -> int:
        """Give how many there are. Raises LogError."""
        with self._transaction("read") as connection:
            return int(connection.execute(select(func.count()).select_from(dead_letter)).scalar_one())

    def waiting(self) -> int:
        """Give how many were never replayed. Raises LogError."""
        unreplayed = select(func.count()).select_from(dead_letter).where(dead_letter.c.replayed_ms.is_(None))
        with self._transaction("read") as connection:
            return int(connection.execute(unreplayed).scalar_one())

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    @contextmanager
    def _transaction(self, purpose: str, *, write: bool = False) -> Iterator[Connection]:
        with _log_errors(purpose), self._database.transaction(write=write) as connection:
            yield connection


@contextmanager
def _log_errors(purpose: str) -> Iterator[None]:
    try:
        yield
    except (StoreUnavailableError, DataFolderError) as error:
        raise LogError(f"dead letters cannot be {purpose}: {error}") from error


def _letter(row: Any) -> DeadLetter:  # noqa: ANN401 - a row of any driver
    partition, position, reason, payload, found_ms, replayed_ms = row
    return DeadLetter(partition, position, reason, bytes(payload), found_ms, replayed_ms)


def _storable(reason: str) -> str:
    """Give a reason as every database takes it: a text of PostgreSQL's holds no NUL, and a reason may quote one."""
    return reason.replace("\0", "\\0")
