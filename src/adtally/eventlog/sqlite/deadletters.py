"""Dead letters, in one SQLite file."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from adtally.errors import LogError, NotFoundError
from adtally.eventlog.port import DeadLetter, Partition, Position

_SELECT: Final = "SELECT partition, position, reason, payload, found_ms, replayed_ms FROM dead_letter "
_INSERT: Final = (
    "INSERT OR IGNORE INTO dead_letter (partition, position, reason, payload, found_ms, replayed_ms) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS dead_letter (partition TEXT, position TEXT, reason TEXT NOT NULL, "
    "payload BLOB NOT NULL, found_ms INTEGER NOT NULL, replayed_ms INTEGER, "
    "PRIMARY KEY (partition, position)) WITHOUT ROWID"
)


class SqliteDeadLetters:
    """Implements DeadLetters. Several processes may use the file at once."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._connection = apsw.Connection(str(path), vfs=vfs)
            self._connection.set_busy_timeout(5_000)
            self._connection.pragma("synchronous", "full")
        except apsw.Error as error:
            raise LogError(f"{path}: dead letters cannot be kept: {error}") from error
        with self._transaction("kept") as connection:
            _migrate(connection)

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters; those that are there already stay as they are. Raises LogError."""
        rows = [
            (each.partition, each.position, each.reason, each.payload, each.found_ms, each.replayed_ms)
            for each in letters
        ]
        with self._transaction("kept") as connection:
            connection.executemany(_INSERT, rows)

    def list(self, limit: int, after: tuple[Partition, Position] | None = None) -> list[DeadLetter]:
        """Give letters by place. Raises LogError."""
        # No place is empty, so all stand behind ("", "").
        query = _SELECT + "WHERE (partition, position) > (?, ?) ORDER BY partition, position LIMIT ?"
        with self._transaction("read") as connection:
            rows = connection.execute(query, (*(after or ("", "")), limit)).fetchall()
        return [_letter(row) for row in rows]

    def get(self, partition: Partition, position: Position) -> DeadLetter:
        """Give one letter. Raises NotFoundError and LogError."""
        query = _SELECT + "WHERE partition = ? AND position = ?"
        with self._transaction("read") as connection:
            row = connection.execute(query, (partition, position)).fetchone()
        if row is None:
            raise NotFoundError(
                f"no dead letter {partition} {position}: `adtally deadletters list` shows what there is"
            )
        return _letter(row)

    def mark_replayed(self, partition: Partition, position: Position, now_ms: int) -> None:
        """Note when a letter was replayed. Raises LogError."""
        change = "UPDATE dead_letter SET replayed_ms = ? WHERE partition = ? AND position = ?"
        with self._transaction("kept") as connection:
            connection.execute(change, (now_ms, partition, position))

    def count(self) -> int:
        """Give how many there are. Raises LogError."""
        with self._transaction("read") as connection:
            number: int = connection.execute("SELECT count(*) FROM dead_letter").get
        return number

    def waiting(self) -> int:
        """Give how many were never replayed. Raises LogError."""
        with self._transaction("read") as connection:
            number: int = connection.execute("SELECT count(*) FROM dead_letter WHERE replayed_ms IS NULL").get
        return number

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self, purpose: str) -> Iterator[apsw.Connection]:
        # A connection can be used by several threads, but not at once.
        with self._lock:
            try:
                self._connection.execute("BEGIN" if purpose == "read" else "BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except apsw.Error as error:
                raise LogError(f"{self._path}: dead letters cannot be {purpose}: {error}") from error


def _letter(row: Sequence[object]) -> DeadLetter:
    return msgspec.convert(dict(zip(DeadLetter.__struct_fields__, row, strict=True)), DeadLetter)


def _migrate(connection: apsw.Connection) -> None:
    connection.execute(_SCHEMA)
    columns = {row[1] for row in connection.execute("PRAGMA table_info(dead_letter)")}
    if "replayed_ms" not in columns:
        connection.execute("ALTER TABLE dead_letter ADD COLUMN replayed_ms INTEGER")
