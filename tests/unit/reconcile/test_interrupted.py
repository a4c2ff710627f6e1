"""A reconciler that dies at any of its steps, and what the next one makes of it."""

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from adtally import faultpoint
from adtally.config import LakeConfig
from adtally.ledger.port import HourLine
from adtally.reconcile.passes import Wanted
from support.lake_events import click
from support.reconciling import DAY_MS, SETTLED_MS, Backend, check_final, history, hour

POINTS = (
    "reconcile.recounted", "reconcile.staged", "reconcile.prepared", "reconcile.published", "reconcile.confirmed",
    "reconcile.noted", "reconcile.day_noted", "reconcile.month_noted", "lake.written", "lake.replaced", "lake.removed",
    "retention.frozen", "retention.removed",
)  # fmt: skip
DAYS = 5
NOVEMBER_MS = hour(0) - 26 * DAY_MS


class KilledError(BaseException):
    """Goes through everything that handles errors, as a kill does."""


class Killer:
    """Kills at a named place, when it is reached for the n-th time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.armed = False
        self.left: dict[str, int] = {}
        self.reached: Counter[str] = Counter()
        monkeypatch.setattr(faultpoint, "on_reach", self.reach)

    def reach(self, name: str) -> None:
        if not self.armed:
            return
        self.reached[name] += 1
        if name in self.left:
            self.left[name] -= 1
            if self.left[name] == 0:
                raise KilledError(name)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    return Killer(monkeypatch)


class Story:
    """Some days of clicks, a correction, and one more; told with and without kills it must end the same."""

    def __init__(self, root: Path, seed: int, killer: Killer | None = None) -> None:
        self.killer = killer
        self.rnd = random.Random(seed)
        self.backend = Backend(root, lake_config=LakeConfig(retention_days=4))
        self.kills = 0

    def begin(self) -> None:
        for edge in ("e1", "e2"):
            self.backend.archive(history(self.rnd, 150, hour(0), hour(24 * DAYS), edge))
        self.backend.count_live(self.backend.live_of(hour(0), hour(24 * DAYS)))

    def correct(self) -> None:
        late = [click(number, hour(24 * 3) + number * 3_600_000, "late", user_id=f"n{number}") for number in (1, 2, 3)]
        self.backend.archive(late, delay_ms=DAY_MS)

    def settle(self, at_ms: int) -> None:
        """Make passes until nothing is left to do, beginning anew after each kill."""
        for _ in range(12):
            try:
                before = self.backend.ledger.last_commit()
                self._run(at_ms)
                if self.backend.ledger.last_commit() == before:
                    return
            except KilledError:
                self.kills += 1
                self.backend.restart()
        raise AssertionError("the reconciler does not come to rest")

    def _run(self, at_ms: int) -> None:
        if self.killer is not None:
            self.killer.armed = True
        try:
            self.backend.run(at_ms, Wanted(verify=True))
        finally:
            if self.killer is not None:
                self.killer.armed = False

    def whole(self) -> dict[int, list[HourLine]]:
        """Tell it, and give the lines of every hour without what differs from run to run."""
        self.begin()
        self.settle(hour(24 * 4) + SETTLED_MS)
        self.correct()
        self.settle(hour(24 * (DAYS + 2)) + SETTLED_MS)
        ledger = self.backend.ledger
        return {
            line.hour_ms: [
                msgspec.structs.replace(each, commit=0, started_ms=0, finished_ms=0, files="")
                for each in ledger.history(line.hour_ms)
            ]
            for line in ledger.lines(0, 1 << 53)
        }


def check_end(backend: Backend) -> None:
    check_final(backend, 0, 24 * DAYS)
    for day in range(DAYS):
        begin, end = hour(24 * day), hour(24 * (day + 1))
        assert backend.final(begin, end, "day") == backend.expected(begin, end)
    december = hour(24 * 4)
    assert backend.final(NOVEMBER_MS, december, "month") == backend.expected(NOVEMBER_MS, december)


def check_ledger_adds_up(backend: Backend) -> None:
    """Each revision begins where the one before ended, and its changed keys make up the difference."""
    for newest in backend.ledger.lines(0, 1 << 53):
        lines = backend.ledger.history(newest.hour_ms)
        for before, after in pairwise(lines):
            assert after.previous == before.final
            assert after.revision in (before.revision, before.revision + 1)
            assert (after.revision > before.revision) == (after.final != before.final or after.keys_differed > 0)
        for line in lines:
            changed = backend.ledger.changed(line.commit, 0, 1_000_000)
            if line.previous:
                sums: Counter[str] = Counter()
                for cell in changed:
                    sums[cell.outcome] += cell.new - cell.old
                there = {each: line.final.get(each, 0) - line.previous.get(each, 0) for each in sums}
                assert dict(sums) == there
                assert len(changed) == line.keys_differed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[HourLine]]:
    return Story(tmp_path_factory.mktemp("undisturbed"), 7).whole()


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_step_changes_neither_numbers_nor_lines(
    tmp_path: Path, killer: Killer, point: str, undisturbed: dict[int, list[HourLine]], seed: int
) -> None:
    killer.left[point] = random.Random(seed).randint(1, 3 if point.startswith(("reconcile.month", "lake")) else 6)
    if point == "reconcile.month_noted":
        killer.left[point] = 1
    story = Story(tmp_path, 7, killer)
    lines = story.whole()
    assert story.kills == 1, f"{point} was reached {killer.reached[point]} times"
    check_end(story.backend)
    check_ledger_adds_up(story.backend)
    # On the way it may see a file that a killed compaction left; what it says in the end is the same.
    assert lines == undisturbed


@pytest.mark.parametrize("point", ["reconcile.prepared", "reconcile.published", "reconcile.confirmed"])
def test_events_that_come_between_a_kill_and_the_restart_are_one_more_correction(
    tmp_path: Path, killer: Killer, point: str, seed: int
) -> None:
    rnd = random.Random(seed)
    backend = Backend(tmp_path)
    backend.archive(history(rnd, 300, hour(0), hour(6)))
    backend.count_live(backend.live_of(hour(0), hour(6)))
    backend.run(hour(7))
    backend.archive([click(1, hour(2) + 5, "late", user_id="first")], delay_ms=DAY_MS)
    killer.left[point], killer.armed = 1, True
    with pytest.raises(KilledError):
        backend.run(hour(7))
    killer.armed = False
    backend.archive([click(1, hour(2) + 9, "later", user_id="second")], delay_ms=DAY_MS)
    backend.restart()
    backend.run(hour(7))
    backend.run(hour(7))
    check_final(backend, 0, 6)
    check_ledger_adds_up(backend)
    assert backend.line(2).final["counted"] == backend.ledger.history(hour(2))[0].final["counted"] + 2
