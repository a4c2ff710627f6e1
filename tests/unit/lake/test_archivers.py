"""Archivers that share one log."""

import random

import pytest

from adtally.config import LakeConfig
from adtally.eventlog.port import Partition
from adtally.lake.archiver import Archiver
from adtally.reconcile.completeness import Waits, completeness
from adtally.wiring.counter import archived_here
from support.lake_events import HOUR_MS, NOON_MS, click, lake_ids
from support.memory_lake import MemoryLake
from support.memory_ledger import MemoryLedger
from support.memory_log import MemoryDeadLetters, MemoryLog, MemoryLogReader


def test_archivers_that_share_a_log_hold_hours_back_until_each_has_passed() -> None:
    log, lake, ledger = MemoryLog(), MemoryLake(), MemoryLedger()
    own, other = Partition("clicks-0"), Partition("clicks-1")
    log.append(own, [click(1)], NOON_MS)
    log.append(other, [click(2)], NOON_MS)
    first, second = (
        Archiver(
            MemoryLogReader(log, "archiver"), lake, ledger, MemoryDeadLetters(), LakeConfig(), random.Random(1), owns
        )
        for owns in (own.__eq__, other.__eq__)
    )
    first.step(NOON_MS)
    first.close(NOON_MS + 1)
    assert lake_ids(lake) == [("e1", 1)]
    assert [(note.partition, note.passed_ms) for note in ledger.archive()] == [(own, NOON_MS), (other, 0)]
    waits = Waits(settle_ms=0, settle_ms_max=HOUR_MS)
    complete = completeness(ledger.archive(), [], NOON_MS, NOON_MS + HOUR_MS, waits)
    assert (complete.through_ms, complete.reason) == (0, "waits for the archiver in partition clicks-1")
    second.step(NOON_MS)
    second.close(NOON_MS + 1)
    first.close(NOON_MS + 2)
    assert lake_ids(lake) == [("e1", 1), ("e1", 2)]
    assert [note.passed_ms for note in ledger.archive()] == [NOON_MS, NOON_MS]


@pytest.mark.parametrize(
    ("numbers", "taken"),
    [((), ["clicks-0", "clicks-1", "control-0", "edge-0"]), ((0,), ["clicks-0", "control-0", "edge-0"]),
     ((1, 2), ["clicks-1"])],
)  # fmt: skip
def test_each_partition_has_one_of_the_archivers_that_share_a_log(numbers: tuple[int, ...], taken: list[str]) -> None:
    there = [Partition(name) for name in ("clicks-0", "clicks-1", "control-0", "edge-0")]
    assert [each for each in there if archived_here(each, numbers)] == taken
