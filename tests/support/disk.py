"""A disk that forgets: a SQLite VFS whose unsynced writes can be dropped or torn, and whose calls can fail."""

import errno
import random
from collections import defaultdict
from pathlib import Path

import apsw

SECTOR_BYTES = 512

Name = str | apsw.URIFilename | None


class KilledError(BaseException):
    """The process that called the disk is no more. No handler of the code under test may stop it."""


class SimulatedDisk(apsw.VFS):
    """Passes everything on to real files, but remembers what each unsynced write has overwritten.

    `crash` puts back what was there before, write by write from the last one, and may let some of them survive, whole
    or torn at a sector's edge, as a disk without power would. Connections must be closed by then.
    """

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, "")
        self.name = name
        self.rnd = random.Random(seed)
        self.full = False
        """Writes that let a file grow fail while this is set."""
        self.broken = False
        """Syncs fail while this is set; what was written may still arrive."""
        self.lying = False
        """Syncs claim success and do nothing while this is set: the defect that the tests must be able to find."""
        self.kill_after: int | None = None
        """The process that calls is killed in place of its call after so many that change something."""
        self.kill_at: tuple[str, int] | None = None
        """The process is killed at this named place (faultpoint.py), once it has come by so many more times."""
        self.dead = False
        """What a killed process still does on its way out changes nothing."""
        self._unsynced: dict[str, list[tuple[int, bytes, bytes]]] = defaultdict(list)
        self._lengths: dict[str, int] = {}

    @property
    def failing(self) -> bool:
        """Whether nothing that is new can be kept: the disk is full, and does not sync."""
        return self.full and self.broken

    @failing.setter
    def failing(self, failing: bool) -> None:
        self.full = self.broken = failing

    def xOpen(self, name: Name, flags: list[int]) -> "SimulatedFile":  # noqa: N802
        file = SimulatedFile(self, name, flags)
        if file.xFileSize() == 0:
            self.forget(path_of(name))
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        if self.alive():
            super().xDelete(filename, syncdir)
            self.forget(filename)

    def alive(self) -> bool:
        """Tell whether a change may be made. Raises KilledError where the caller's time has come."""
        if self.dead:
            return False
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after < 0:
                self.kill_after = None
                self.dead = True
                raise KilledError
        return True

    def reach(self, name: str) -> None:
        """Do what a named place does to who comes by. Raises KilledError."""
        if self.alive() and self.kill_at is not None and self.kill_at[0] == name:
            self.kill_at = (name, self.kill_at[1] - 1)
            if self.kill_at[1] < 0:
                self.kill_at = None
                self.dead = True
                raise KilledError

    def sync(self, path: str) -> bool:
        """Make a file durable; False if the disk fails."""
        if self.alive():
            if self.broken:
                return False
            self.note_sync(path)
        return True

    def append(self, path: str, content: bytes) -> int:
        """Do what writing behind a file's end without SQLite does; give the new size. Raises OSError."""
        length = Path(path).stat().st_size
        if self.alive():
            if self.full:
                raise OSError(errno.ENOSPC, "no space left on the simulated disk")
            self.note_write(path, length, b"", content, length)
            with Path(path).open("ab") as file:
                length += file.write(content)
        return length

    def note_write(self, path: str, offset: int, before: bytes, after: bytes, length: int) -> None:
        self._lengths.setdefault(path, length)
        self._unsynced[path].append((offset, before, after))

    def note_sync(self, path: str) -> None:
        if not self.lying:
            self.forget(path)

    def forget(self, path: str) -> None:
        """Take a file as it is for durable."""
        self._unsynced.pop(path, None)
        self._lengths.pop(path, None)

    def crash(self) -> None:
        """Lose power: every unsynced write survives, is torn, or is gone, as the seed decides."""
        for path, writes in self._unsynced.items():
            file = Path(path)
            if not file.exists():
                continue
            raw = bytearray(file.read_bytes())
            for offset, before, _ in reversed(writes):
                raw[offset : offset + len(before)] = before
            del raw[self._lengths[path] :]
            for offset, _, after in writes:
                fate = self.rnd.choice(["gone", "gone", "kept", "torn"])
                kept = (
                    after
                    if fate == "kept"
                    else after[: self.rnd.randrange(len(after) // SECTOR_BYTES + 1) * SECTOR_BYTES]
                )
                if fate != "gone" and kept:
                    raw.extend(bytes(max(0, offset + len(kept) - len(raw))))
                    raw[offset : offset + len(kept)] = kept
            file.write_bytes(bytes(raw))
            # Shared memory does not outlive the machine.
            Path(path.removesuffix("-wal") + "-shm").unlink(missing_ok=True)
        self._unsynced.clear()
        self._lengths.clear()


class SimulatedFile(apsw.VFSFile):
    def __init__(self, disk: SimulatedDisk, name: Name, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = path_of(name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if not self._disk.alive():
            return
        length = self.xFileSize()
        if self._disk.full and offset + len(data) > length:
            raise apsw.FullError("no space left on the simulated disk")
        before = self.xRead(min(len(data), max(0, length - offset)), offset) if offset < length else b""
        self._disk.note_write(self._path, offset, before, bytes(data), length)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        if self._disk.alive():
            super().xTruncate(newsize)
            self._disk.forget(self._path)

    def xSync(self, flags: int) -> None:  # noqa: N802
        # The real file is not synced: what a crash leaves of it is decided here.
        if not self._disk.sync(self._path):
            raise apsw.IOError("the simulated disk does not sync")


def path_of(name: Name) -> str:
    return name.filename() if isinstance(name, apsw.URIFilename) else str(name)
