"""Processes that archive a log, or compact the lake, and kill themselves where a test wants it.

Run as a program it reads a Job from each line, does it in a process of its own (a fork: importing all this takes most
of a second), and answers with a line that holds the process's exit code, negative for a signal.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final, Literal

import msgspec
import pyarrow.acero  # noqa: F401 - here once, or each fork imports it at its first sort

from adtally.config import LakeConfig
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.folder import replace_file
from adtally.lake.archiver import Archiver
from adtally.lake.compaction import compact_hour
from adtally.lake.directory import DirectoryLake
from adtally.ledger.port import Absence, ArchiveNote, EdgeMark
from adtally.telemetry import configure_logging
from support.killing import kill_at
from support.memory_ledger import MovingLedger

CONFIG: Final = LakeConfig(flush_ms=2_000, flush_bytes=8_000)
STEP_MS: Final = 1_000
STEPS_MAX: Final = 1_000


class State(msgspec.Struct, frozen=True):
    """What the ledger holds between two lives."""

    notes: list[ArchiveNote] = []
    marks: list[EdgeMark] = []
    absences: list[Absence] = []


class FileLedger(MovingLedger):
    """An archiver's ledger whose every note is on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        if path.exists():
            state = msgspec.json.decode(path.read_bytes(), type=State)
            super().note_archived(state.notes, state.marks, state.absences)

    def note_archived(
        self, notes: Sequence[ArchiveNote], marks: Sequence[EdgeMark], absences: Sequence[Absence]
    ) -> None:
        super().note_archived(notes, marks, absences)
        state = State(self.archive(), list(self.edge_marks.values()), list(self.known_absences))
        replace_file(self._path, msgspec.json.encode(state))


def archive(root: Path, now_ms: int) -> None:
    """Archive what the log holds."""
    reader = SqliteLogReader(root / "log", "archiver")
    lake = DirectoryLake(root / "lake")
    letters = SqliteDeadLetters(root / "deadletters.db")
    archiver = Archiver(reader, lake, FileLedger(root / "ledger.json"), letters, CONFIG, Random(1))
    for _ in range(STEPS_MAX):
        now_ms += STEP_MS
        if archiver.step(now_ms) == 0:
            break
    assert archiver.close(now_ms)


def compact(root: Path) -> None:
    """Compact every hour into files that do not hold the whole of it."""
    lake = DirectoryLake(root / "lake")
    for hour_ms in lake.hours():
        compact_hour(lake, hour_ms, events_max=60)


class Job(msgspec.Struct, frozen=True):
    """What a process is to do. It dies when `point` (adtally.faultpoint) is reached for the `after`th time."""

    work: Literal["archive", "compact"]
    root: str
    now_ms: int
    point: str = ""
    after: int = 1


def do(job: Job) -> None:
    """Do one job."""
    kill_at(job.point, job.after)
    if job.work == "archive":
        archive(Path(job.root), job.now_ms)
    else:
        compact(Path(job.root))


def serve() -> None:
    """Do jobs until the input ends."""
    for line in sys.stdin.buffer:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                do(msgspec.json.decode(line, type=Job))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    configure_logging("lake")
    serve()
