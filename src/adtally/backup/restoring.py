"""A data folder from a backup."""

import os
from pathlib import Path

from adtally import faultpoint
from adtally.backup.manifest import BackedUp, Manifest, Progress, checked_chunks, read_manifest, verify
from adtally.errors import BackupError
from adtally.folder import FOLDER_VERSION, sync_folder

VERSION_FILE = "version"


def restore(backup: Path, root: Path, progress: Progress) -> Manifest:
    """Copy a backup to `root`, a folder that is new or empty, and give its manifest.

    Everything is checked before the first file is written, and again while it is. The file `version` comes last: what a
    restore that was broken off leaves behind is no data folder to anybody. Raises BackupError.
    """
    manifest = read_manifest(backup)
    _check_version(backup, manifest)
    try:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise BackupError(
                f"{root} is not empty: name a new folder with --data-dir (what a restore left that was broken off can "
                "be removed)"
            )
        total = 2 * manifest.size_bytes
        verify(backup, lambda done, _: progress(done, total))
        root.mkdir(parents=True, exist_ok=True)
        done = manifest.size_bytes
        for file in sorted(manifest.files, key=lambda file: (file.name == VERSION_FILE, file.name)):
            if file.name == VERSION_FILE:
                _sync_folders(root)
            _copy(backup, file, root / file.name)
            done += file.bytes
            progress(done, total)
            faultpoint.reach("restore.file")
        sync_folder(root)
    except OSError as error:
        raise BackupError(f"{root} cannot be written: {error}") from error
    return manifest


def _check_version(backup: Path, manifest: Manifest) -> None:
    file = next((file for file in manifest.files if file.name == VERSION_FILE), None)
    if file is None:
        raise BackupError(f"{backup} is no backup of a data folder: it has no file {VERSION_FILE}")
    text = b"".join(checked_chunks(backup, file))
    if not text.strip().isdigit() or int(text) > FOLDER_VERSION:
        raise BackupError(
            f"{backup} has data of version {text.decode(errors='replace').strip()}, this adtally works on version "
            f"{FOLDER_VERSION}: use the adtally {manifest.version} that wrote it, or a newer one"
        )


def _copy(backup: Path, file: BackedUp, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    with os.fdopen(descriptor, "wb") as copy:
        for chunk in checked_chunks(backup, file):
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())


def _sync_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        sync_folder(Path(folder))
