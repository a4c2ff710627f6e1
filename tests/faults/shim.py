"""Faults on real processes: compiles shim.c, which goes before their C library, and says what is to fail now."""

import errno
import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import pytest

from support.embedded import kill

Kind = Literal["no_room", "no_write", "no_read", "no_sync", "slow_sync", "false_sync"]

KINDS: dict[Kind, int] = {"no_room": 1, "no_write": 2, "no_read": 3, "no_sync": 4, "slow_sync": 5, "false_sync": 6}
SOURCE = Path(__file__).with_name("shim.c")
RULES = 16
RULE = struct.Struct("<iiqqqQ256s64s")
PAGE = struct.Struct("<QqII")
FOREVER = -1


def compile_shim(into: Path) -> Path:
    """Give the library, made by the machine's C compiler or, where there is none, by zig's from PyPI."""
    if sys.platform != "linux":
        pytest.skip("the faults are put under processes by LD_PRELOAD, as Linux with glibc has it")
    compiler = [found] if (found := shutil.which("cc")) else [sys.executable, "-m", "ziglang", "cc"]
    library = into / "shim.so"
    # zig would put checks of its own in, which need a library of its own.
    flags = ["-O1", "-fPIC", "-shared", "-Wall", "-Wno-unused-function", "-fno-sanitize=undefined"]
    command = [*compiler, *flags, "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make test-faults installs a compiler: {done.stderr}"
    return library


class Shim:
    """The faults of all processes that are started with `environment` on the data folder `root`."""

    def __init__(self, library: Path, work: Path, root: Path) -> None:
        self.journals = work / "journals"
        self.journals.mkdir(parents=True)
        control = work / "page"
        control.write_bytes(bytes(PAGE.size + RULES * RULE.size))
        with control.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 0)
        self._root = root
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAULTS_PAGE": str(control),
            "FAULTS_ROOT": str(root),
            "FAULTS_JOURNALS": str(self.journals),
        }

    def pids(self) -> list[int]:
        """Give the processes that were started with it and live."""
        mark = f"FAULTS_PAGE={self.environment['FAULTS_PAGE']}\0".encode()
        found: list[int] = []
        for folder in Path("/proc").iterdir():
            # Processes come and go meanwhile; a zombie's environment is empty.
            with suppress(OSError):
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found

    def kill_all(self) -> None:
        """Kill every process at once, as a machine that falls over does."""
        while pids := self.pids():
            for pid in pids:
                kill(pid)

    def set_clock(self, ahead_s: float) -> None:
        """Let the wall clock of all processes be so far ahead."""
        struct.pack_into("<q", self._page, 8, int(ahead_s * 1e9))

    def lead(self, port: int, to_port: int) -> None:
        """Let new connections to a port of this host go to another one."""
        struct.pack_into("<I", self._page, 20, port << 16 | to_port)

    def keep_journal(self, on: bool = True) -> None:
        """Write down each change below the root from now on, or no more."""
        struct.pack_into("<I", self._page, 16, int(on))

    def begin(
        self,
        kind: Kind,
        under: str = "",
        part: str = "",
        times: int = FOREVER,
        room_bytes: int = 0,
        delay_ms: int = 0,
    ) -> "Fault":
        """Let calls on paths that begin with `under` (below the root) and hold `part` fail, or wait, from now on."""
        number = next(n for n in range(RULES) if self._kind(n) == 0)
        error = {"no_room": errno.ENOSPC, "slow_sync": 0, "false_sync": 0}.get(kind, errno.EIO)
        place = PAGE.size + number * RULE.size
        path = os.fsencode(self._root / under)
        RULE.pack_into(self._page, place, 0, error, room_bytes, times, delay_ms, 0, path, part.encode())
        # Last: a rule that is on is whole.
        struct.pack_into("<i", self._page, place, KINDS[kind])
        return Fault(self._page, place)

    @contextmanager
    def fault(
        self, kind: Kind, under: str = "", part: str = "", times: int = FOREVER, room_bytes: int = 0, delay_ms: int = 0
    ) -> Iterator["Fault"]:
        """Give a fault that lasts as long as the block; it must have hit something by then."""
        fault = self.begin(kind, under, part, times, room_bytes, delay_ms)
        try:
            yield fault
            assert fault.hits, f"no call was hit by {kind} under {under!r}"
        finally:
            fault.end()

    def _kind(self, number: int) -> int:
        return int(struct.unpack_from("<i", self._page, PAGE.size + number * RULE.size)[0])


class Fault:
    """A fault that is on."""

    def __init__(self, page: mmap.mmap, place: int) -> None:
        self._page, self._place = page, place
        self._ended_with = 0

    @property
    def hits(self) -> int:
        """How many calls it has hit."""
        return self._ended_with or int(struct.unpack_from("<Q", self._page, self._place + 32)[0])

    def end(self) -> None:
        """Let calls go through again."""
        self._ended_with = self.hits
        struct.pack_into("<i", self._page, self._place, 0)
