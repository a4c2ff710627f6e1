"""What a backup holds.

A folder with a manifest is a whole backup: the manifest is written last, and then the folder gets its name.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from adtally.errors import BackupError

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
CHUNK_BYTES: Final = 1 << 20

Progress = Callable[[int, int], None]
"""Is told how many bytes are done, and of how many."""


class BackedUp(msgspec.Struct, frozen=True):
    """One file of a backup."""

    name: str
    """Its path below the data folder."""
    bytes: int
    sha256: str
    mtime_ns: int = 0
    """Of the file that was copied as it was; 0 where there was none."""
    mode: int = 0o644


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds, and who made it when."""

    format: int
    version: str
    """Of the adtally that made it."""
    begun_ms: int
    """Every click that was acknowledged before this is in it."""
    ended_ms: int
    elsewhere: tuple[str, ...]
    """What is on servers, and so not in it."""
    store: bool
    """Whether the OLAP store is in it."""
    files: tuple[BackedUp, ...]

    @property
    def size_bytes(self) -> int:
        """Give the size of all files."""
        return sum(file.bytes for file in self.files)


def read_manifest(backup: Path) -> Manifest:
    """Give a backup's manifest. Raises BackupError."""
    path = backup / MANIFEST
    try:
        form = msgspec.json.decode(path.read_bytes(), type=_Form)
        if form.format > FORMAT:
            raise BackupError(
                f"{backup} has format {form.format}, this adtally reads {FORMAT}: restore it with the adtally "
                f"{form.version} that made it, or a newer one"
            )
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise BackupError(f"{backup} is no backup: it has no {MANIFEST}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupError(f"{path} is damaged ({error}): take another backup") from None


def newest_backup(place: Path) -> Path:
    """Give the backup that `place` is, or the newest one in it. Raises BackupError."""
    if (place / MANIFEST).exists():
        return place
    found = backups_in(place)
    if not found:
        raise BackupError(f"{place} holds no backup")
    return found[-1]


def backups_in(place: Path) -> list[Path]:
    """Give the whole backups in a folder, oldest first: their names are their times."""
    if not place.is_dir():
        return []
    return sorted(entry for entry in place.iterdir() if entry.name[0] != "." and (entry / MANIFEST).exists())


def verify(backup: Path, progress: Progress) -> Manifest:
    """Read every file of a backup and give its manifest. Raises BackupError that names what is missing or damaged."""
    manifest = read_manifest(backup)
    strangers = files_below(backup) - {file.name for file in manifest.files} - {MANIFEST}
    if strangers:
        raise BackupError(f"{backup / min(strangers)} is not in the manifest: the backup was altered")
    done = 0
    for file in manifest.files:
        done += sum(map(len, checked_chunks(backup, file)))
        progress(done, manifest.size_bytes)
    return manifest


def checked_chunks(backup: Path, file: BackedUp) -> Iterator[bytes]:
    """Give a file's content bit by bit. Raises BackupError, at the end at the latest, if it is not what it was."""
    digest, size = hashlib.sha256(), 0
    try:
        with (backup / file.name).open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
    except OSError as error:
        raise BackupError(f"{backup / file.name} cannot be read ({error}): use another backup") from None
    if (size, digest.hexdigest()) != (file.bytes, file.sha256):
        raise BackupError(f"{backup / file.name} is not what was backed up: use another backup")


def files_below(root: Path) -> set[str]:
    """Give the names of all files below a folder."""
    return {(Path(folder) / name).relative_to(root).as_posix() for folder, _, names in os.walk(root) for name in names}


class _Form(msgspec.Struct, frozen=True):
    """What every format of a manifest has."""

    format: int
    version: str
