"""A backup in the making: files come in one by one, and it has a name when all are there and on the disk."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from adtally import __version__, faultpoint
from adtally.backup.manifest import (
    CHUNK_BYTES,
    FORMAT,
    MANIFEST,
    BackedUp,
    Manifest,
    backups_in,
    read_manifest,
)
from adtally.errors import BackupError
from adtally.folder import replace_file, sync_folder

UNFINISHED: Final = ".unfinished"


class Snapshot:
    """Files of one backup. What an earlier backup in the same place holds already is linked, not copied."""

    def __init__(self, place: Path, begun_ms: int, progress: Callable[[int], None]) -> None:
        self._place = place
        self.root: Final = place / UNFINISHED
        """Where files are until the backup has its name."""
        self._begun_ms = begun_ms
        self._progress = progress
        """`progress` is told how many bytes are taken."""
        self._files: dict[str, BackedUp] = {}
        self._done_bytes = 0
        self.copied_bytes = 0
        """Of what was not linked."""
        earlier = backups_in(place)
        self._earlier = earlier[-1] if earlier else None
        known = read_manifest(self._earlier).files if self._earlier else ()
        self._known = {file.name: file for file in known}

    def add(self, name: str, source: Path) -> None:
        """Take a file that nobody writes any more. Raises FileNotFoundError if it is gone."""
        status = source.stat()
        same = self._files.get(name)
        if same is not None and (same.bytes, same.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return
        known = self._known.get(name)
        if known is not None and (known.bytes, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
            assert self._earlier is not None
            target = self._make_way(name)
            try:
                os.link(self._earlier / name, target)
            except OSError:
                # Gone there, or a file system without links: then it is copied.
                pass
            else:
                self._note(known)
                return
        target = self._make_way(name)
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as content, target.open("wb") as copy:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
                copy.write(chunk)
                size += len(chunk)
            copy.flush()
            os.fsync(copy.fileno())
        mode = status.st_mode & 0o777
        target.chmod(mode)
        self.copied_bytes += size
        # What was written meanwhile has another time: the next backup copies it again.
        self._note(BackedUp(name, size, digest.hexdigest(), status.st_mtime_ns, mode))

    def add_made(self, name: str, make: Callable[[Path], None]) -> None:
        """Take a file that `make` writes at the path that it is given."""
        target = self._make_way(name)
        make(target)
        digest, size = hashlib.sha256(), 0
        with target.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
            os.fsync(content.fileno())
        self.copied_bytes += size
        self._note(BackedUp(name, size, digest.hexdigest()))

    def keep_only(self, folder: str, names: set[str]) -> None:
        """Drop what was taken below `folder` and is not among `names`."""
        for name in [name for name in self._files if name.startswith(folder) and name not in names]:
            del self._files[name]
            (self.root / name).unlink(missing_ok=True)

    def finish(self, now_ms: int, elsewhere: tuple[str, ...], store: bool) -> tuple[Path, Manifest]:
        """Give the backup its name; give where it is and what it holds."""
        for folder, _, _ in os.walk(self.root, topdown=False):
            sync_folder(Path(folder))
        faultpoint.reach("backup.copied")
        files = tuple(self._files[name] for name in sorted(self._files))
        manifest = Manifest(FORMAT, __version__, self._begun_ms, now_ms, elsewhere, store, files)
        replace_file(self.root / MANIFEST, msgspec.json.encode(manifest))
        faultpoint.reach("backup.listed")
        begun = datetime.fromtimestamp(self._begun_ms / 1000, UTC)
        target = self._place / f"{begun:%Y%m%dT%H%M%S}.{self._begun_ms % 1000:03d}Z"
        self.root.replace(target)
        sync_folder(self._place)
        return target, manifest

    def _make_way(self, name: str) -> Path:
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Never written through: it may be a link to a file of an earlier backup.
        target.unlink(missing_ok=True)
        return target

    def _note(self, file: BackedUp) -> None:
        self._files[file.name] = file
        self._done_bytes += file.bytes
        self._progress(self._done_bytes)
        faultpoint.reach("backup.file")


@contextmanager
def one_at_a_time(place: Path) -> Iterator[None]:
    """Make the folder of backups, held for one writer, without what a killed one left. Raises BackupError."""
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (place / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(f"another backup is being written to {place}: wait for its end") from None
            shutil.rmtree(place / UNFINISHED, ignore_errors=True)
            (place / UNFINISHED).mkdir(mode=0o700)
            try:
                yield
            finally:
                shutil.rmtree(place / UNFINISHED, ignore_errors=True)
    except OSError as error:
        raise BackupError(f"the backup cannot be written to {place}: {error}") from error


def remove_older(place: Path, keep: int) -> list[Path]:
    """Remove all backups in a folder but the newest `keep`; give what was removed."""
    old = backups_in(place)[:-keep]
    for backup in old:
        # Without its manifest it is no backup any more, wherever this is broken off.
        (backup / MANIFEST).unlink()
        shutil.rmtree(backup)
    return old
