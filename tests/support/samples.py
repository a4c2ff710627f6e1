"""What a system uses as time passes: memory and files of each process, bytes of each part of its folder."""

import contextlib
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec

EVERY_S = 2.0
PARTS = ("log", "lake", "olap")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process(msgspec.Struct, frozen=True):
    """One process at one time."""

    pid: int
    resident_bytes: int
    files: int
    """Without those of /proc: chDB opens three for each of its threads, and those are counted by themselves."""
    threads: int


class Sample(msgspec.Struct, frozen=True):
    """A system at one time."""

    at_s: float
    """Since the sampling began."""
    processes: dict[str, Process]
    bytes: dict[str, int]


class Sampler:
    """Looks at a system until it is closed; beside the test, which goes on."""

    def __init__(self, folder: Path) -> None:
        self.samples: list[Sample] = []
        self._folder = folder
        self._begun_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            pids = self._pids()
            processes = {role: seen for role, pid in pids.items() if (seen := look_at(pid)) is not None}
            sizes = {part: folder_bytes(self._folder / part) for part in PARTS}
            self.samples.append(Sample(time.monotonic() - self._begun_s, processes, sizes))

    def _pids(self) -> dict[str, int]:
        try:
            run = json.loads((self._folder / "run.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        pids: dict[str, int] = run["pids"]
        return pids

    def write(self, file: Path) -> None:
        """Keep every sample, as lines of JSON."""
        file.write_bytes(b"\n".join(msgspec.json.encode(sample) for sample in self.samples))


def look_at(pid: int) -> Process | None:
    """Give what a process uses, None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        files = sum(1 for file in Path(f"/proc/{pid}/fd").iterdir() if is_counted(file))
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return Process(pid, int(fields[1]) * PAGE_BYTES, files, threads) if fields[1:2] and fields[1] != "0" else None


def is_counted(descriptor: Path) -> bool:
    """Tell whether an open file is still open, and none of /proc."""
    try:
        return not str(descriptor.readlink()).startswith("/proc/")
    except FileNotFoundError:
        return False


def folder_bytes(folder: Path) -> int:
    """Give the bytes of all files below a folder, as the disk has them."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(root) / name).stat().st_blocks * 512
    return total


def growth(samples: Sequence[Sample], role: str, measure: Callable[[Process], int]) -> tuple[float, float, int] | None:
    """Give how a measure of the process that a role has at the end went: its first and last level, and the samples.

    A level is the median of a third of the samples of this one process, so that one high sample is no growth.
    """
    last = next((sample.processes[role].pid for sample in reversed(samples) if role in sample.processes), None)
    seen = [measure(process) for sample in samples if (process := sample.processes.get(role)) and process.pid == last]
    third = len(seen) // 3
    if third == 0:
        return None
    return statistics.median(seen[:third]), statistics.median(seen[-third:]), len(seen)
