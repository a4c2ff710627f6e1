"""Folders that forget: what of a lake's files, and of their names, survives the loss of power.

Files lie in real folders. Of each folder it is remembered which names its last sync made durable, and of each file
which bytes: `crash` takes everything else back, or not, or in part, as the seed decides.
"""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from adtally.lake.parquet import write_events
from support.disk import SECTOR_BYTES, SimulatedDisk

Patch = Callable[[str, object], None]

FOLDER = b"a folder"
UNKNOWN = b"bytes that were never synced"


class SimulatedFolders:
    """What is below `root`, on a disk that is full, broken or killing when that one is."""

    def __init__(self, root: Path, disk: SimulatedDisk) -> None:
        self._root = root
        self._disk = disk
        self._lasting: dict[Path, dict[str, bytes]] = {}
        """By folder: the names that a sync made durable, and what bytes they led to."""
        self._synced: dict[int, bytes] = {}
        """By inode: the bytes that a sync made durable."""

    def patch(self, patch: Patch) -> None:
        """Put this in the place of what the lake does to its files and folders."""
        patch("adtally.lake.directory.sync_folder", self.sync_folder)
        patch("adtally.lake.directory.write_events", self.write_events)
        patch("adtally.lake.directory.os.fsync", self.sync_file)

    def write_events(self, events: pa.Table, to: Path) -> None:
        if self._disk.alive():
            if self._disk.full:
                raise OSError(errno.ENOSPC, "no space left on the simulated disk")
            write_events(events, to)
            self._synced.pop(to.stat().st_ino, None)

    def sync_file(self, descriptor: int) -> None:
        if self._disk.alive():
            if self._disk.broken:
                raise OSError(errno.EIO, "the simulated disk does not sync")
            status = os.fstat(descriptor)
            self._synced[status.st_ino] = os.pread(descriptor, status.st_size, 0)

    def sync_folder(self, path: Path) -> None:
        if self._disk.alive():
            if self._disk.broken:
                raise OSError(errno.EIO, "the simulated disk does not sync")
            self._lasting[path] = {
                each.name: FOLDER if each.is_dir() else self._synced.get(each.stat().st_ino, UNKNOWN)
                for each in path.iterdir()
            }

    def crash(self) -> None:
        """Lose power. What is there afterwards is durable."""
        if self._root.exists():
            if self._root.name in self._lasting.get(self._root.parent, {}) or self._disk.rnd.random() < 0.5:
                self._crash(self._root)
            else:
                shutil.rmtree(self._root)
        self._lasting.clear()
        self._synced.clear()
        self._settle()

    def _settle(self) -> None:
        for folder, _, files in os.walk(self._root):
            path = Path(folder)
            for name in files:
                self._synced[(path / name).stat().st_ino] = (path / name).read_bytes()
        for folder, folders, files in os.walk(self._root):
            path = Path(folder)
            self._lasting[path] = dict.fromkeys(folders, FOLDER)
            self._lasting[path] |= {name: self._synced[(path / name).stat().st_ino] for name in files}
        if self._root.exists():
            self._lasting[self._root.parent] = {self._root.name: FOLDER}

    def _crash(self, folder: Path) -> None:
        lasting = self._lasting.get(folder, {})
        present = {each.name: each for each in folder.iterdir()}
        for name in sorted(lasting.keys() | present.keys()):
            before, path = lasting.get(name), folder / name
            if path.is_dir():
                if before is None and self._disk.rnd.random() < 0.5:
                    shutil.rmtree(path)
                else:
                    self._crash(path)
            elif before == FOLDER:
                if self._disk.rnd.random() < 0.5:
                    path.mkdir()
            else:
                self._crash_file(path, before)

    def _crash_file(self, path: Path, before: bytes | None) -> None:
        rnd = self._disk.rnd
        now = self._synced.get(path.stat().st_ino) if path.exists() else None
        if path.exists() and now == before and now is not None:
            return
        if rnd.random() < 0.5:
            # The name leads to where it led at the last sync.
            path.unlink(missing_ok=True)
            if before is not None:
                path.write_bytes(b"" if before == UNKNOWN else before)
        elif path.exists() and now is None:
            raw = path.read_bytes()
            kept = rnd.randrange(len(raw) // SECTOR_BYTES + 1) * SECTOR_BYTES
            path.write_bytes(raw[:kept] + bytes(rnd.choice([0, len(raw) - kept])))
