"""One edge's folder in the spool."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from adtally import faultpoint
from adtally.errors import LogError, PositionGoneError
from adtally.event import Control
from adtally.eventlog.port import BEGINNING, Partition, Position, Record
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.segment import Place, parse_position, segment_numbers, segment_path
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.folder import sync_folder
from adtally.telemetry import log

SEGMENT_BYTES: Final = 16 << 20
SPOOL: Final = Partition("spool")
_READER: Final = "drain"


class SpoolStore:
    """What one edge holds back. `keep` is called by one thread, the other methods by one that may be another."""

    def __init__(self, folder: Path, writer: SqliteLogWriter | None, lock: int | None, vfs: str | None = None) -> None:
        self.edge_id = folder.name
        self._folder = folder
        self._writer = writer
        self._lock = lock
        self._vfs = vfs
        self._reader = SqliteLogReader(folder, _READER, vfs)
        self._at: Position | None = None

    @classmethod
    def open(cls, root: Path, edge_id: str, now_ms: int, vfs: str | None = None) -> "SpoolStore":
        """Make the folder of an edge that starts; from now on whoever comes later closes it.

        Where an earlier call failed halfway, this one goes on. Raises LogError.
        """
        folder = root / edge_id
        try:
            root.mkdir(parents=True, exist_ok=True)
            with _one_start(root):
                folder.mkdir(exist_ok=True)
                sync_folder(root)
                writer = SqliteLogWriter.open(folder, SPOOL, edge_id, now_ms, SEGMENT_BYTES, vfs)
                return cls(folder, writer, None, vfs)
        except OSError as error:
            raise LogError(f"{folder}: the spool cannot be made: {error}") from error

    @classmethod
    def adopt(cls, root: Path, vfs: str | None = None) -> "list[SpoolStore]":
        """Give the folders whose edges are dead, oldest first, each locked for this process. Raises LogError."""
        adopted: list[SpoolStore] = []
        try:
            root.mkdir(parents=True, exist_ok=True)
            with _one_start(root):
                for folder in sorted((each for each in root.iterdir() if each.is_dir()), key=_made_ns):
                    lock = _try_lock(folder)
                    if lock is not None:
                        adopted.append(cls(folder, None, lock, vfs))
        except OSError as error:
            raise LogError(f"{root}: the spool cannot be read: {error}") from error
        return adopted

    @property
    def size_bytes(self) -> int:
        """Give the size of the files."""
        return sum(file.stat().st_size for file in (self._folder / SPOOL).glob("*") if file.exists())

    def keep(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        """Keep a batch and the records behind it, durably. Raises LogError."""
        assert self._writer is not None, "only the edge itself writes its folder"
        if records:
            self._writer.append_together(events, records, now_ms)
        else:
            self._writer.append(events, now_ms)

    def read(self, bytes_max: int) -> list[Record]:
        """Give the first records that were not passed. Raises LogError."""
        if self._at is None:
            at = self._reader.committed().get(SPOOL, BEGINNING)
            if at == BEGINNING:
                # The segment's own Opening: the edge's writer sent one to the log by itself, or put it behind this.
                first = self._reader.read(SPOOL, BEGINNING, 1)
                at = first[0].next if first else BEGINNING
            self._at = at
        try:
            return self._reader.read(SPOOL, self._at, bytes_max)
        except PositionGoneError:
            # Only what was passed is removed, but an earlier start could not note how far it had come.
            self._at = Place(segment_numbers(self._folder / SPOOL)[0], 1, 0).position()
            return self._reader.read(SPOOL, self._at, bytes_max)

    def passed(self, position: Position) -> None:
        """Note that all before `position` is in the log, and remove what is not needed.

        A disk that is full must not keep the spool from being emptied: what cannot be noted durably now is noted by the
        next call, and after a kill before that it is moved once more.
        """
        before, self._at = self._at, position
        try:
            self._reader.commit({SPOOL: position})
        except LogError as error:
            log.warning("what is drained cannot be noted: a restart would drain it again", error=str(error))
        faultpoint.reach("spool.passed")
        passed = parse_position(position).segment
        if not before or parse_position(before).segment != passed:
            self._remove_before(passed)

    def _remove_before(self, passed: int) -> None:
        folder = self._folder / SPOOL
        try:
            for number in segment_numbers(folder)[:-1]:
                path = segment_path(folder, number)
                if number >= passed:
                    break
                for file in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"), path):
                    file.unlink(missing_ok=True)
            sync_folder(folder)
        except OSError as error:
            log.warning("drained segments stay until more is drained", error=str(error))

    def close(self) -> None:
        """Let go of the folder, but for what `read` has opened: the next start adopts it, if it is still there."""
        if self._writer is not None:
            self._writer.close(None, 0)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def close_reader(self) -> None:
        """Let go of what `read` has opened."""
        self._reader.close()

    def remove(self) -> None:
        """Remove the folder: all it held is in the log, and its edge is closed there."""
        with contextlib.suppress(OSError):
            # Its lock is held until it is gone: nobody adopts a half of it.
            shutil.rmtree(self._folder)
            sync_folder(self._folder.parent)
        self.close()


@contextlib.contextmanager
def _one_start(root: Path) -> Iterator[None]:
    """Let nobody adopt a folder that is just being made."""
    with (root / "starts.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _made_ns(folder: Path) -> int:
    try:
        return folder.stat().st_ctime_ns
    except FileNotFoundError:
        return 0


def _try_lock(folder: Path) -> int | None:
    """Take the lock that a living edge holds; None where it lives, or the folder is gone."""
    try:
        (folder / SPOOL).mkdir(exist_ok=True)
        descriptor = os.open(folder / SPOOL / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (folder / SPOOL / "lock").stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
