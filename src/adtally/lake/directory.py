"""The lake in a local folder."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from adtally import faultpoint
from adtally.errors import LakeError, LakeFileGoneError
from adtally.folder import sync_folder
from adtally.lake.hours import hour_folder, parse_hour_folder
from adtally.lake.parquet import read_events, write_events
from adtally.lake.port import LakeFile

SUFFIX: Final = ".parquet"
UNFINISHED: Final = "unfinished"


class DirectoryLake:
    """Implements Lake below `root`, which is made where it is not there. Several processes may use it at once.

    A file is written in a folder that no reader lists, and gets its name when its bytes are on the disk. What a crash
    left unfinished is removed at the next opening.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unfinished = root / UNFINISHED
        self._synced: set[Path] = set()
        with _lake_errors(f"{root}: the lake cannot be opened"):
            self._make_folder(self._unfinished)
            for path in self._unfinished.iterdir():
                _remove_abandoned(path)

    def write(self, hour_ms: int, stem: str, events: pa.Table) -> LakeFile:
        """Keep an hour's events as its file `stem`, durably. Raises LakeError."""
        name = f"{hour_folder(hour_ms)}/{stem}{SUFFIX}"
        path = self._root / name
        temporary = self._unfinished / secrets.token_hex(8)
        with _lake_errors(f"{path}: the file cannot be written"):
            self._make_folder(path.parent)
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                # Whoever opens the lake meanwhile sees by the lock that this file is not abandoned.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                write_events(events, temporary)
                os.fsync(descriptor)
                size_bytes = os.fstat(descriptor).st_size
                faultpoint.reach("lake.written")
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            finally:
                os.close(descriptor)
            sync_folder(path.parent)
        faultpoint.reach("lake.renamed")
        return LakeFile(name, size_bytes)

    def hours(self) -> list[int]:
        """Give the hours that hold files, ascending. Raises LakeError."""
        with _lake_errors(f"{self._root}: the lake cannot be listed"):
            found = {path.parent.relative_to(self._root).as_posix() for path in self._root.glob(f"raw/*/*/*{SUFFIX}")}
        return sorted(hour_ms for folder in found if (hour_ms := parse_hour_folder(folder)) is not None)

    def files(self, hour_ms: int) -> list[LakeFile]:
        """Give the hour's files by name. Raises LakeError."""
        folder = hour_folder(hour_ms)
        files: list[LakeFile] = []
        with _lake_errors(f"{self._root / folder}: the hour cannot be listed"):
            for path in sorted((self._root / folder).glob(f"*{SUFFIX}")):
                # A compaction may remove what was just listed.
                with contextlib.suppress(FileNotFoundError):
                    files.append(LakeFile(f"{folder}/{path.name}", path.stat().st_size))
        return files

    def listing(self) -> dict[int, list[LakeFile]]:
        """Give the files of all hours. Raises LakeError."""
        return {hour_ms: files for hour_ms in self.hours() if (files := self.files(hour_ms))}

    def read(self, file: LakeFile, columns: Sequence[str] | None = None) -> pa.Table:
        """Give a file's events, or some of their columns. Raises LakeFileGoneError, LakeDamagedError and LakeError."""
        path = self._root / file.name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise LakeFileGoneError(f"{path} is gone since it was listed: list the hour again") from None
        except OSError as error:
            raise LakeError(f"{path}: the file cannot be read: {error}") from error
        events = read_events(content, str(path), columns)
        if len(content) != file.size_bytes:
            raise LakeFileGoneError(f"{path} was replaced since it was listed: list the hour again")
        return events

    def location(self, file: LakeFile) -> str:
        """Give the file's path."""
        return str(self._root / file.name)

    def replace(self, hour_ms: int, stem: str, events: pa.Table, old: Sequence[LakeFile]) -> LakeFile:
        """Write `events` as `stem`, then remove `old`, but not what was just written. Raises LakeError."""
        written = self.write(hour_ms, stem, events)
        faultpoint.reach("lake.replaced")
        folders: set[Path] = set()
        with _lake_errors(f"{self._root / written.name}: what it replaces cannot be removed"):
            for file in old:
                if file.name != written.name:
                    path = self._root / file.name
                    path.unlink(missing_ok=True)
                    folders.add(path.parent)
                    faultpoint.reach("lake.removed")
            for folder in folders:
                sync_folder(folder)
        return written

    def remove_hour(self, hour_ms: int) -> None:
        """Remove an hour's files for good. Raises LakeError."""
        folder = self._root / hour_folder(hour_ms)
        with _lake_errors(f"{folder}: the hour cannot be removed"):
            if not folder.exists():
                return
            for path in folder.glob(f"*{SUFFIX}"):
                path.unlink(missing_ok=True)
            sync_folder(folder)
            # An archiver may be writing here again: then the folder is not empty, or made again.
            for empty in (folder, folder.parent):
                with contextlib.suppress(OSError):
                    empty.rmdir()
                    sync_folder(empty.parent)

    def _make_folder(self, path: Path) -> None:
        """Make a folder and those above it, so that their names survive power loss."""
        if path in self._synced and path.is_dir():
            return
        if path != self._root:
            self._make_folder(path.parent)
        path.mkdir(parents=True, exist_ok=True)
        # Even where it was there: whoever made it may have died before this.
        sync_folder(path.parent)
        self._synced.add(path)


@contextlib.contextmanager
def _lake_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise LakeError(f"{what}: {error}") from error


def _remove_abandoned(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
