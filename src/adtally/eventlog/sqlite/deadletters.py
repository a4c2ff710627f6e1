"""Dead letters, in one SQLite file."""

from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec

from adtally.errors import LogError
from adtally.eventlog.port import DeadLetter


class SqliteDeadLetters:
    """Implements DeadLetters. Several processes may use the file at once."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._path = path
        try:
            self._connection = apsw.Connection(str(path), vfs=vfs)
            self._connection.set_busy_timeout(5_000)
            self._connection.pragma("synchronous", "full")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS dead_letter (partition TEXT, position TEXT, reason TEXT NOT NULL, "
                "payload BLOB NOT NULL, found_ms INTEGER NOT NULL, PRIMARY KEY (partition, position)) WITHOUT ROWID"
            )
        except apsw.Error as error:
            raise LogError(f"{path}: dead letters cannot be kept: {error}") from error

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters; those that are there already stay as they are. Raises LogError."""
        rows = [(each.partition, each.position, each.reason, each.payload, each.found_ms) for each in letters]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR IGNORE INTO dead_letter VALUES (?, ?, ?, ?, ?)", rows)
        except apsw.Error as error:
            raise LogError(f"{self._path}: dead letters cannot be kept: {error}") from error

    def list(self, limit: int) -> list[DeadLetter]:
        """Give the first letters by place. Raises LogError."""
        query = "SELECT partition, position, reason, payload, found_ms FROM dead_letter ORDER BY 1, 2 LIMIT ?"
        try:
            rows = self._connection.execute(query, (limit,)).fetchall()
        except apsw.Error as error:
            raise LogError(f"{self._path}: dead letters cannot be read: {error}") from error
        return [msgspec.convert(dict(zip(DeadLetter.__struct_fields__, row, strict=True)), DeadLetter) for row in rows]

    def count(self) -> int:
        """Give how many there are. Raises LogError."""
        try:
            number: int = self._connection.execute("SELECT count(*) FROM dead_letter").get
        except apsw.Error as error:
            raise LogError(f"{self._path}: dead letters cannot be read: {error}") from error
        return number
