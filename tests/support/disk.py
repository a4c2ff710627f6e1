"""A disk that forgets: a SQLite VFS whose unsynced writes can be dropped or torn, and whose syncs can fail."""

import random
from collections import defaultdict
from pathlib import Path

import apsw

SECTOR_BYTES = 512


class SimulatedDisk(apsw.VFS):
    """Passes everything on to real files, but remembers what each unsynced write has overwritten.

    `crash` puts back what was there before, write by write from the last one, and may let some of them survive, whole
    or torn at a sector's edge, as a disk without power would. Connections must be closed by then.
    """

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, "")
        self.name = name
        self.rnd = random.Random(seed)
        self.failing = False
        """Syncs and growing writes fail while this is set."""
        self.lying = False
        """Syncs claim success and do nothing while this is set: the defect that the tests must be able to find."""
        self._unsynced: dict[str, list[tuple[int, bytes, bytes]]] = defaultdict(list)
        self._lengths: dict[str, int] = {}

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "SimulatedFile":  # noqa: N802
        return SimulatedFile(self, name, flags)

    def note_write(self, path: str, offset: int, before: bytes, after: bytes, length: int) -> None:
        self._lengths.setdefault(path, length)
        self._unsynced[path].append((offset, before, after))

    def note_sync(self, path: str) -> None:
        if not self.lying:
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
    def __init__(self, disk: SimulatedDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        length = self.xFileSize()
        if self._disk.failing and offset + len(data) > length:
            raise apsw.FullError("no space left on the simulated disk")
        before = self.xRead(min(len(data), max(0, length - offset)), offset) if offset < length else b""
        self._disk.note_write(self._path, offset, before, bytes(data), length)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._disk.failing:
            raise apsw.IOError("the simulated disk does not sync")
        super().xSync(flags)
        self._disk.note_sync(self._path)
