"""Reads the segments, as they grow or long after."""

import contextlib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import apsw

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import LogError, PositionGoneError
from adtally.eventlog.port import BEGINNING, Partition, Position, Record
from adtally.eventlog.sqlite.segment import (
    DAMAGE,
    N_MAX,
    Header,
    Kind,
    Place,
    checksum,
    connect,
    make_durable,
    parse_position,
    read_header,
    segment_numbers,
    segment_path,
)

COMMITS: Final = "readers.db"
MTIME_GRANULARITY_MS: Final = 100
# A flipped byte may have changed a value's type, too: the casts give what the checksum can then refuse.
_SELECT: Final = (
    "SELECT n, CAST(kind AS INTEGER), CAST(appended_ms AS INTEGER), CAST(crc AS INTEGER), CAST(payload AS BLOB) "
    "FROM record WHERE n >= ? AND n <= ? ORDER BY n"
)

Row = tuple[int, int, int | None, int, bytes | None]


class SqliteLogReader:
    """Implements LogReader over the partitions below `root` that `wanted` says. Used by one thread at a time."""

    def __init__(
        self,
        root: Path,
        name: str,
        vfs: str | None = None,
        wanted: Callable[[Partition], bool] = lambda _: True,
    ) -> None:
        self._root = root
        self._name = name
        self._vfs = vfs
        self._wanted = wanted
        self._open: dict[Partition, tuple[int, apsw.Connection]] = {}
        self._headers: dict[tuple[Partition, int], Header] = {}
        self._listed: dict[Partition, tuple[int, list[int]]] = {}

    def partitions(self) -> list[Partition]:
        """Give the folders that hold a partition, sorted."""
        if not self._root.exists():
            return []
        found = (Partition(entry.name) for entry in self._root.iterdir() if entry.is_dir())
        return sorted(filter(self._wanted, found))

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        """Give records from `start` on. Raises PositionGoneError and LogError."""
        place = self._place(partition, start)
        while place is not None:
            # Looked up before reading: once there is a successor, what this segment holds is all it will ever hold.
            successor = self._successor(partition, place.segment)
            end = N_MAX
            if successor is not None and successor[1].previous == place.segment:
                end = successor[1].previous_end
            elif successor is not None:
                end = 0
            records = self._read_segment(partition, place, end, bytes_max, finished=successor is not None)
            if records or successor is None:
                return records
            if place.n <= end < N_MAX:
                # The writer knew of more records than the file gives: a damaged WAL ends early, without an error.
                return [_damaged(partition, place, end, "records are missing at the segment's end")]
            place = Place(successor[0], 1, 0)
        return []

    def position_of(self, record: Record, index: int) -> Position:
        """Give the position of one event of a record."""
        # Records begin at index 0. The archiver asks this for every event: taking `at` apart would cost it five times.
        return Position(f"{record.at[:-6]}{index:06x}")

    def committed(self) -> dict[Partition, Position]:
        """Give this reader's committed positions."""
        if not (self._root / COMMITS).exists():
            return {}
        return committed_positions(self._root, self._vfs).get(self._name, {})

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Remember where this reader would restart. Raises LogError."""
        try:
            connection = _commits(self._root, self._vfs)
            try:
                with connection:
                    connection.executemany(
                        "INSERT INTO position VALUES (?, ?, ?) "
                        "ON CONFLICT (reader, partition) DO UPDATE SET position = excluded.position",
                        [(self._name, partition, position) for partition, position in positions.items()],
                    )
            finally:
                connection.close()
        except apsw.Error as error:
            raise LogError(f"{self._root / COMMITS}: positions cannot be committed: {error}") from error

    def forget(self) -> None:
        """Forget where this reader would restart: it will begin with what the log still holds. Raises LogError."""
        if not (self._root / COMMITS).exists():
            return
        try:
            connection = _commits(self._root, self._vfs)
            try:
                connection.execute("DELETE FROM position WHERE reader = ?", (self._name,))
            finally:
                connection.close()
        except apsw.Error as error:
            raise LogError(f"{self._root / COMMITS}: positions cannot be forgotten: {error}") from error

    def close(self) -> None:
        """Let go of all files."""
        for _, connection in self._open.values():
            connection.close()
        self._open.clear()

    def _place(self, partition: Partition, start: Position) -> Place | None:
        numbers = self._numbers(partition)
        if not numbers:
            return None
        if start == BEGINNING:
            return Place(numbers[0], 1, 0)
        place = parse_position(start)
        if place.segment < numbers[0]:
            raise PositionGoneError(
                f"{partition}: reader {self._name!r} stands at {start}, but the log begins with segment {numbers[0]}: "
                "events were removed before they were read"
            )
        return place

    def _successor(self, partition: Partition, number: int) -> tuple[int, Header] | None:
        """Give the segment to go on with after `number`: the first later one whose header leads here or past here."""
        numbers = self._numbers(partition)
        for later in numbers[bisect_right(numbers, number) :]:
            header = self._headers.get((partition, later)) or read_header(
                segment_path(self._root / partition, later), self._vfs
            )
            if header is not None and header.previous <= number:
                self._headers[partition, later] = header
                return later, header
        return None

    def _numbers(self, partition: Partition) -> list[int]:
        """Give the partition's segments; a week of them is too long a list to be read from the disk at each poll."""
        folder = self._root / partition
        try:
            changed_ns = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        cached = self._listed.get(partition)
        if cached is not None and cached[0] == changed_ns:
            return cached[1]
        numbers = segment_numbers(folder)
        # Two changes within the file system's granularity have one time: only an older one is certain to be the last.
        if SYSTEM_CLOCK.now_ms() - changed_ns // 1_000_000 > MTIME_GRANULARITY_MS:
            self._listed[partition] = (changed_ns, numbers)
        return numbers

    def _read_segment(
        self, partition: Partition, start: Place, end: int, bytes_max: int, finished: bool
    ) -> list[Record]:
        if start.n > end or start.n == N_MAX:
            return []
        try:
            rows = self._rows(partition, start, end, bytes_max)
        except apsw.Error as error:
            self._forget(partition)
            if self._incomplete(partition, start.segment):
                return []
            # Only of a finished segment is it known what it lacks; a damaged open one is left soon by its writer.
            if finished and isinstance(error, (apsw.SQLError, *DAMAGE)):
                return self._salvage(partition, start, end)
            raise LogError(f"{partition}: segment {start.segment} cannot be read: {error}") from error
        return [_record(partition, start, row) for row in rows]

    def _rows(self, partition: Partition, start: Place, end: int, bytes_max: int) -> list[Row]:
        rows: list[Row] = []
        size = 0
        for row in self._connection(partition, start.segment).execute(_SELECT, (start.n, end)):
            rows.append(row)
            size += len(row[4] or b"")
            if size >= bytes_max:
                break
        return rows

    def _salvage(self, partition: Partition, start: Place, end: int) -> list[Record]:
        """Read one record of a segment whose pages are damaged; what cannot be read becomes a `damaged` record."""
        connection = self._connection(partition, start.segment)
        try:
            row = connection.execute(_SELECT, (start.n, start.n)).fetchone()
            if row is not None:
                return [_record(partition, start, row)]
            last = min(end, connection.execute("SELECT coalesce(max(n), 0) FROM record").get)
            return [_damaged(partition, start, start.n, "no such record")] if start.n <= last else []
        except (apsw.SQLError, *DAMAGE) as error:
            return [_damaged(partition, start, self._last_readable(connection, start, end), f"unreadable: {error}")]

    def _last_readable(self, connection: apsw.Connection, start: Place, end: int) -> int:
        """Give the last record to be given up together with `start`: that one alone, or the rest of the segment."""
        try:
            connection.execute("SELECT n FROM record WHERE n > ? LIMIT 1", (start.n,)).fetchone()
        except (apsw.SQLError, *DAMAGE):
            return end
        return start.n

    def _connection(self, partition: Partition, number: int) -> apsw.Connection:
        cached = self._open.get(partition)
        if cached is not None and cached[0] == number:
            return cached[1]
        self._forget(partition)
        path = segment_path(self._root / partition, number)
        connection = connect(path, apsw.SQLITE_OPEN_READONLY, self._vfs)
        try:
            # The first look may recover the WAL; from then on, what shows was synced by its writer.
            with contextlib.suppress(apsw.SQLError, *DAMAGE):
                connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
            make_durable(path)
        except BaseException:
            connection.close()
            raise
        self._open[partition] = (number, connection)
        return connection

    def _forget(self, partition: Partition) -> None:
        cached = self._open.pop(partition, None)
        if cached is not None:
            cached[1].close()

    def _incomplete(self, partition: Partition, number: int) -> bool:
        return read_header(segment_path(self._root / partition, number), self._vfs) is None


def _record(partition: Partition, start: Place, row: Row) -> Record:
    n, kind, appended, crc, payload = row
    appended_ms = appended or 0
    at = Place(start.segment, n, 0).position()
    following = Place(start.segment, n + 1, 0).position()
    skip = start.index if n == start.n else 0
    if payload is None or checksum(appended_ms, payload) != crc:
        return Record(partition, "damaged", appended_ms, payload or b"", at, following, skip, "checksum does not match")
    return Record(partition, "events" if kind == Kind.EVENTS else "control", appended_ms, payload, at, following, skip)


def _damaged(partition: Partition, start: Place, last: int, reason: str) -> Record:
    following = Place(start.segment, min(last + 1, N_MAX), 0).position()
    return Record(partition, "damaged", 0, b"", start.position(), following, 0, reason)


def committed_positions(root: Path, vfs: str | None = None) -> dict[str, dict[Partition, Position]]:
    """Give every reader's committed positions, by its name. Raises LogError."""
    try:
        connection = _commits(root, vfs)
        try:
            found: dict[str, dict[Partition, Position]] = {}
            for reader, partition, position in connection.execute("SELECT reader, partition, position FROM position"):
                found.setdefault(reader, {})[partition] = position
        finally:
            connection.close()
    except apsw.Error as error:
        raise LogError(f"{root / COMMITS}: positions cannot be read: {error}") from error
    return found


def _commits(root: Path, vfs: str | None) -> apsw.Connection:
    connection = apsw.Connection(str(root / COMMITS), vfs=vfs)
    connection.set_busy_timeout(5_000)
    connection.pragma("synchronous", "full")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS position (reader TEXT, partition TEXT, position TEXT NOT NULL, "
        "PRIMARY KEY (reader, partition)) WITHOUT ROWID"
    )
    return connection
