"""The archiver and the compaction, killed with SIGKILL at each step and started again, over a log on the disk."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
import pytest

from adtally.event import Closing, Event, Heartbeat, Lost, encode_event
from adtally.eventlog.port import BEGINNING, Partition
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.lake.directory import DirectoryLake
from adtally.ledger.port import Absence
from support.lake_child import Job, State
from support.lake_events import HOUR_MS, NOON_MS, Id, click, lake_ids

TESTS: Final = Path(__file__).parents[2]
ARCHIVER_POINTS: Final = (
    "lake.written", "lake.renamed", "archiver.written", "archiver.buried", "archiver.noted", "archiver.committed",
)  # fmt: skip
COMPACTION_POINTS: Final = ("lake.written", "lake.renamed", "lake.replaced", "lake.removed")
PARTITIONS: Final = ("edge-0", "edge-1", "import-x")
ROUND_MS: Final = 1_000_000


class History:
    """A log that grows between the archiver's lives, and what it must come to in the lake."""

    def __init__(self, root: Path, rnd: random.Random, processes: subprocess.Popen[bytes]) -> None:
        self.root = root
        self.processes = processes
        self.rnd = rnd
        self.now_ms = NOON_MS
        self.archived_ms = NOON_MS
        self.appended: dict[Id, int] = {}
        self.lost: set[Absence] = set()
        self.dead: set[Id] = set()
        self._seq = dict.fromkeys(PARTITIONS, 0)

    def grow(self) -> None:
        """Append some batches to each partition; one of the lines is no event."""
        self.now_ms += ROUND_MS
        for index, partition in enumerate(PARTITIONS):
            edge_id = f"e{index}"
            writer = SqliteLogWriter.open(self.root / "log", Partition(partition), edge_id, self.now_ms, 2_000)
            for n in range(self.rnd.randrange(3, 6)):
                self._append(writer, edge_id, broken=n == 1)
            first = self._seq[partition] + 1
            self._seq[partition] += 2
            lost = Lost(edge_id, first, first + 1, self.now_ms)
            writer.append_control(lost, self.now_ms)
            self.lost.add(Absence(edge_id, first, first + 1, "lost", self.now_ms))
            writer.append_control(Heartbeat(edge_id, self._seq[partition], self.now_ms), self.now_ms)
            writer.close(Closing(edge_id, self._seq[partition], self.now_ms), self.now_ms)

    def _append(self, writer: SqliteLogWriter, edge_id: str, broken: bool) -> None:
        events: list[Event] = []
        partition = PARTITIONS[int(edge_id[1:])]
        for _ in range(self.rnd.randrange(2, 12)):
            self._seq[partition] += 1
            ts_ms = self.now_ms - self.rnd.choice((0, 30 * HOUR_MS))
            events.append(click(self._seq[partition], ts_ms, edge_id, user_id=f"u{self.rnd.randrange(99)}"))
        lines = [encode_event(event) for event in events]
        if broken:
            lines[-1] = lines[-1][:-1]
            self.dead.add((edge_id, events.pop().seq))
        writer.append(lines, self.now_ms)
        self.appended.update({(event.edge_id, event.seq): self.now_ms for event in events})

    def run(self, work: Literal["archive", "compact"], point: str = "", after: int = 1) -> bool:
        """Run a process; True if it came to its end, False if it was killed where it should be."""
        self.now_ms += ROUND_MS
        assert self.processes.stdin is not None
        assert self.processes.stdout is not None
        self.processes.stdin.write(msgspec.json.encode(Job(work, str(self.root), self.now_ms, point, after)) + b"\n")
        self.processes.stdin.flush()
        code = int(self.processes.stdout.readline())
        assert code in (0, -9), "the process failed: its error stands above"
        if work == "archive" and code == 0:
            self.archived_ms = self.now_ms
        return code == 0

    def check_claims(self) -> None:
        """Nothing is claimed that is not in the lake."""
        held = set(lake_ids(DirectoryLake(self.root / "lake")))
        assert held <= self.appended.keys()
        reader = SqliteLogReader(self.root / "log", "archiver")
        committed = reader.committed()
        notes = {note.partition: note for note in self.state().notes}
        assert all(committed[partition] <= notes[partition].position for partition in committed)
        for partition, note in notes.items():
            for record in reader.read(partition, BEGINNING, 1 << 30):
                if record.kind != "events":
                    continue
                for index, line in enumerate(record.payload.split(b"\n")):
                    claimed = reader.position_of(record, index) < note.position or record.appended_ms < note.passed_ms
                    if claimed and line.endswith(b"}"):
                        event = msgspec.json.decode(line, type=Event)
                        assert (event.edge_id, event.seq) in held
        reader.close()

    def check_end(self) -> None:
        """Everything is there, once."""
        assert lake_ids(DirectoryLake(self.root / "lake")) == sorted(self.appended)
        state = self.state()
        assert self.lost <= set(state.absences)
        dead = {(each.edge_id, each.first_seq) for each in state.absences if each.reason == "dead letter"}
        assert dead == self.dead
        assert {mark.last_seq for mark in state.marks if mark.edge_id == "e0"} >= {self._seq["edge-0"]}
        assert all(note.passed_ms > self.archived_ms for note in state.notes)

    def state(self) -> State:
        path = self.root / "ledger.json"
        return msgspec.json.decode(path.read_bytes(), type=State) if path.exists() else State()


@pytest.fixture(scope="module")
def processes() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "support.lake_child"],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        yield running


@pytest.fixture
def history(tmp_path: Path, seed: int, processes: subprocess.Popen[bytes]) -> History:
    return History(tmp_path, random.Random(seed), processes)


@pytest.mark.parametrize("point", ARCHIVER_POINTS)
def test_an_archiver_that_is_killed_loses_nothing_and_claims_nothing(history: History, point: str) -> None:
    history.grow()
    assert not history.run("archive", point, history.rnd.randrange(1, 4))
    history.check_claims()
    history.grow()
    history.run("archive", history.rnd.choice(ARCHIVER_POINTS), history.rnd.randrange(1, 6))
    history.check_claims()
    assert history.run("archive")
    history.check_claims()
    assert history.run("compact")
    history.check_end()


@pytest.mark.parametrize("point", COMPACTION_POINTS)
def test_a_compaction_that_is_killed_changes_nothing(history: History, point: str) -> None:
    history.grow()
    assert history.run("archive")
    assert not history.run("compact", point)
    history.check_claims()
    history.grow()
    assert history.run("archive")
    history.run("compact", point, history.rnd.randrange(2, 5))
    history.check_claims()
    assert history.run("compact")
    history.check_end()
    assert history.run("compact")
    history.check_end()
