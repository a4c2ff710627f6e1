"""One segment file: its name, schema, header, and the positions in it."""

import enum
import zlib
from pathlib import Path
from typing import Final

import apsw
import msgspec

from adtally.errors import LogError
from adtally.eventlog.port import Position
from adtally.folder import sync_file

FORMAT_VERSION: Final = 1
SUFFIX: Final = ".segment"
N_MAX: Final = 0xFFFF_FFFF
"""No record number is higher: eight hexadecimal digits of a position."""

PAGE_BYTES: Final = 4_096
FRAME_BYTES: Final = PAGE_BYTES + 24
"""A page in the WAL, with its header."""

DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError)

_SCHEMA: Final = f"""
PRAGMA user_version = {FORMAT_VERSION};
CREATE TABLE header (one INTEGER PRIMARY KEY CHECK (one = 1), previous INTEGER NOT NULL, previous_end INTEGER NOT NULL);
CREATE TABLE record (
  n INTEGER PRIMARY KEY, kind INTEGER NOT NULL, appended_ms INTEGER NOT NULL, crc INTEGER NOT NULL,
  payload BLOB NOT NULL
);
"""


class Kind(enum.IntEnum):
    """What a record's payload is."""

    EVENTS = 0
    CONTROL = 1


class Header(msgspec.Struct, frozen=True):
    """Which segment came before (0 for none), and the last valid record of that one."""

    previous: int
    previous_end: int


class Place(msgspec.Struct, frozen=True, order=True):
    """A position, taken apart: segment number, record number, index in the record's payload."""

    segment: int
    n: int
    index: int

    def position(self) -> Position:
        """Give the opaque token: fixed width, so that it orders as bytes."""
        return Position(f"{self.segment:08x}-{self.n:08x}-{self.index:06x}")


def parse_position(position: Position) -> Place:
    """Take a position apart. Raises LogError for what this log never gave out."""
    try:
        segment, n, index = (int(part, 16) for part in position.split("-"))
    except ValueError:
        raise LogError(f"{position!r} is no position of this log") from None
    return Place(segment, n, index)


def segment_path(folder: Path, number: int) -> Path:
    """Give the file of a segment."""
    return folder / f"{number:08d}{SUFFIX}"


def segment_numbers(folder: Path) -> list[int]:
    """Give the numbers of the segment files in a partition's folder, ascending."""
    try:
        return sorted(int(entry.stem) for entry in folder.iterdir() if entry.suffix == SUFFIX and entry.stem.isdigit())
    except FileNotFoundError:
        return []


def checksum(appended_ms: int, payload: bytes) -> int:
    """Give the CRC-32 (zlib's) over a record's time and payload."""
    return zlib.crc32(payload, appended_ms & 0xFFFFFFFF)


def connect(path: Path, flags: int, vfs: str | None) -> apsw.Connection:
    """Open a segment so that closing it never checkpoints: that would happen on somebody's request path."""
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(1_000)
    except apsw.Error:
        connection.close()
        raise
    return connection


def create(path: Path, header: Header, vfs: str | None) -> apsw.Connection:
    """Make a new segment that holds its header, durably but for the folder's entry. Raises apsw.Error."""
    connection = connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, vfs)
    try:
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("wal_autocheckpoint", 0)
        with connection:
            connection.execute(_SCHEMA)
            connection.execute("INSERT INTO header VALUES (1, ?, ?)", (header.previous, header.previous_end))
    except apsw.Error:
        connection.close()
        raise
    return connection


def wal_bytes(connection: apsw.Connection) -> int:
    """Give how much of the WAL is used by what its one connection wrote, a page more or less."""
    pages, _ = connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)
    return pages * FRAME_BYTES


def make_durable(path: Path) -> None:
    """Sync what can be read of a segment. Raises LogError.

    A writer that died between its write and its sync leaves records that whoever opens the segment next can read, and
    that a loss of power could still take back.
    """
    try:
        sync_file(path.with_name(path.name + "-wal"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise LogError(f"{path}: the segment's end cannot be made durable: {error}") from error


def read_header(path: Path, vfs: str | None) -> Header | None:
    """Give a segment's header, None where its making was never completed.

    A damaged file is no incomplete one: its records are to be reported, so it keeps its place behind the file before.
    """
    try:
        connection = connect(path, apsw.SQLITE_OPEN_READONLY, vfs)
        try:
            # Making the schema and filling the header is one transaction: there is all of it, or nothing.
            if connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
                return None
            row = connection.execute("SELECT previous, previous_end FROM header").fetchone()
        finally:
            connection.close()
    except (apsw.SQLError, *DAMAGE):
        row = None
    except apsw.Error:
        return None
    if row is None or not all(isinstance(value, int) for value in row):
        return Header(int(path.stem) - 1, N_MAX)
    return Header(*row)
