"""Archiver, recount, publishing, compaction and rebuild, in real processes with the real engines, killed with -9."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adtally import wiring
from adtally.config import Config
from adtally.event import Closing, encode_event
from adtally.eventlog.port import Partition
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.folder import DataFolder
from adtally.ledger.port import HourLine
from adtally.olap.chdb import ChdbStore
from adtally.olap.port import EVERYONE, AggregateQuery, Grain, Source
from support.plain_recount import Appended, plain_recount
from support.reconciling import RULES, history, hour

TESTS = Path(__file__).parents[1]
POINTS = (
    "archiver.written", "archiver.noted", "archiver.committed", "reconcile.recounted", "reconcile.staged",
    "reconcile.prepared", "olap.minute.merged", "olap.minute.replaced", "olap.quarter_hour.staged",
    "olap.quarter_hour.replaced", "reconcile.published", "reconcile.confirmed", "reconcile.noted", "olap.day.replaced",
    "reconcile.day_noted", "lake.written", "lake.renamed", "lake.removed",
)  # fmt: skip
KILLS = 6
HOURS = 30
END_MS = hour(HOURS + 20)


class System:
    """A data folder with a log in it, worked on by processes that come and go."""

    def __init__(self, root: Path, rnd: random.Random) -> None:
        self.folder = DataFolder(root)
        self.folder.prepare()
        self.folder.run.mkdir()
        self.rnd = rnd
        self.events: list[Appended] = []

    def log(self, edge: str, count: int, first: int, behind: int, delay_ms: int) -> None:
        """Append one edge's events to a partition of its own, from its opening to its closing record."""
        events = history(self.rnd, count, hour(first), hour(behind), edge)
        begun_ms = hour(first) + delay_ms
        partition = Partition(f"edge-{edge}")
        writer = SqliteLogWriter.open(self.folder.log, partition, edge, begun_ms, 20_000)
        for start in range(0, count, 50):
            batch = events[start : start + 50]
            appended_ms = batch[-1].ts_ms + delay_ms
            writer.append([encode_event(event) for event in batch], appended_ms)
            self.events += [(event, appended_ms) for event in batch]
        ended_ms = events[-1].ts_ms + delay_ms
        writer.close(Closing(edge, count, events[-1].ts_ms, retired=True), ended_ms)

    def process(self, work: str, point: str = "", after: int = 1) -> bool:
        """Run a process; False if it was killed where it should be."""
        arguments = [str(self.folder.root), str(END_MS), work, point, str(after)]
        done = subprocess.run(
            [sys.executable, "-m", "support.reconcile_child", *arguments],
            env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode in (0, -9), done.stderr[-3_000:]
        return done.returncode == 0

    def lines(self) -> list[HourLine]:
        ledger = wiring.open_ledger(self.folder, Config())
        found = ledger.lines(0, 1 << 53)
        ledger.close()
        return [msgspec.structs.replace(each, commit=0, started_ms=0, finished_ms=0, files="") for each in found]

    def final(self) -> dict[Grain, dict[tuple[Any, ...], tuple[int, int]]]:
        """Give what the final tables hold of the first day, by ad, device and outcome."""
        store = ChdbStore(self.folder.olap, 1 << 30)
        store.migrate()
        grains: tuple[Grain, ...] = ("minute", "quarter_hour", "day")
        found = {}
        for grain in grains:
            span = (hour(0), hour(24))
            query = AggregateQuery(
                EVERYONE, span, ("ad_id", "device", "outcome"), ("clicks", "users"), sources=(Source(grain, *span),)
            )
            found[grain] = {row.group: (row.clicks, row.users) for row in store.aggregate(query)}
        store.close()
        return found

    def expected(self) -> dict[tuple[Any, ...], tuple[int, int]]:
        clicks: dict[tuple[Any, ...], int] = {}
        users: dict[tuple[Any, ...], set[str]] = {}
        for (_, _, ad, _, device, outcome), (number, some) in plain_recount(
            self.events, hour(0), hour(24), RULES
        ).cells.items():
            group = (ad, device, outcome)
            clicks[group] = clicks.get(group, 0) + number
            users.setdefault(group, set()).update(some)
        return {group: (clicks[group], len(users[group])) for group in clicks}

    def check(self) -> None:
        expected = self.expected()
        assert self.final() == {"minute": expected, "quarter_hour": expected, "day": expected}
        ledger = wiring.open_ledger(self.folder, Config())
        states = {line.state for line in ledger.lines(0, 1 << 53)}
        assert states == {"final"}
        total = sum(sum(line.final.values()) for line in ledger.lines(0, 1 << 53))
        assert total == len(self.events), "an event is missing, or twice there"
        ledger.close()


@pytest.mark.system
def test_whatever_step_is_killed_each_event_is_counted_once(tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    system = System(tmp_path / "data", rnd)
    for edge in ("a", "b"):
        system.log(edge, 600, 0, HOURS, 5)
    killed: list[str] = []
    for number, point in enumerate(rnd.sample(POINTS, len(POINTS))):
        # Some points are come by once where a kill at the second time is drawn.
        if number >= KILLS and len(killed) >= KILLS // 2:
            break
        # What comes late leaves something to do for the process that dies next.
        begin = rnd.randrange(HOURS - 6)
        system.log(f"late{number}", 100, begin, begin + 6, 40 * 3_600_000)
        after = rnd.randint(1, 2)
        if not system.process("settle", point, after):
            killed.append(f"{point}, {after}.")
    assert system.process("settle")
    system.check()
    print(f"killed at {'; '.join(killed)}")
    assert len(killed) >= KILLS // 2


@pytest.mark.system
def test_a_rebuild_gives_the_same_numbers_and_lines_however_often_it_is_killed(tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    system = System(tmp_path / "data", rnd)
    system.log("a", 600, 0, HOURS, 5)
    assert system.process("settle")
    lines, final = system.lines(), system.final()
    points = ["rebuild.forgotten", "rebuild.removed", *rnd.sample(["reconcile.staged", "reconcile.published"], 1)]
    for point in points:
        assert not system.process("rebuild", point)
    assert system.process("rebuild")
    assert (system.lines(), system.final()) == (lines, final)
    system.check()
