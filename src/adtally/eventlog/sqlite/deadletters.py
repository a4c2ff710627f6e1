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
from adtally.faultpoint import reach
from adtally.folder import sync_file
from adtally.migrations import keep_copy, newer_text
from adtally.telemetry import log

SCHEMA_VERSION: Final = 1
"""0 is from before there was a number."""

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
        with self._transaction("read") as connection:
            _keep_old(connection, path)
        with self._transaction("kept") as connection:
            _migrate(connection, path)

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


def _migrate(connection: apsw.Connection, path: Path) -> None:
    found: int = connection.pragma("user_version")
    if found > SCHEMA_VERSION:
        raise LogError(newer_text(f"{path}, the dead letters,", found, SCHEMA_VERSION))
    if found == SCHEMA_VERSION:
        return
    if _is_old(connection):
        connection.execute("ALTER TABLE dead_letter ADD COLUMN replayed_ms INTEGER")
    connection.execute(_SCHEMA)
    connection.pragma("user_version", SCHEMA_VERSION)
    reach("deadletters.migrated")


def _keep_old(connection: apsw.Connection, path: Path) -> None:
    """Keep a copy of letters from before the first migration."""
    if connection.pragma("user_version") == 0 and _is_old(connection):
        kept = keep_copy("deadletters", SCHEMA_VERSION, path, lambda _, target: _copy(connection, target))
        log.warning("dead letters are migrated; a copy from before is kept", kept=str(kept))


def _is_old(connection: apsw.Connection) -> bool:
    columns = {row[1] for row in connection.execute("PRAGMA table_info(dead_letter)")}
    return bool(columns) and "replayed_ms" not in columns


def _copy(connection: apsw.Connection, target: Path) -> None:
    # Through the connection that has the file open: another library's would take the process's locks on it away.
    after = apsw.Connection(str(target))
    try:
        with after.backup("main", connection, "main") as copying:
            copying.step()
    finally:
        after.close()
    sync_file(target)
