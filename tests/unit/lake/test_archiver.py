"""The archiver step by step, over logs, lakes and ledgers in memory."""

import itertools
import random
from collections.abc import Mapping

import pytest

from adtally.config import LakeConfig
from adtally.errors import LogError, PositionGoneError
from adtally.event import Closing, Heartbeat, Lost, Opening
from adtally.eventlog.port import DeadLetter, Partition, Position, Record
from adtally.lake.archiver import BACKOFF_MS, BACKOFF_MS_MAX, Archiver
from adtally.ledger.port import Absence, EdgeMark
from support.lake_events import HOUR_MS, NOON_MS, click, lake_ids, lake_rows
from support.memory_lake import MemoryLake
from support.memory_ledger import MovingLedger
from support.memory_log import MemoryDeadLetters, MemoryLog, MemoryLogReader

P = Partition("edge-0")
FLUSH_MS = 60_000


class FailingReader(MemoryLogReader):
    """A reader whose partitions can be out of order, and whose commits can fail."""

    broken: Partition | None = None
    commits_fail = False

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        if partition == self.broken:
            raise LogError(f"{partition} cannot be read")
        return super().read(partition, start, bytes_max)

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        if self.commits_fail:
            raise LogError("positions cannot be committed")
        super().commit(positions)


class World:
    """An archiver and all that it touches."""

    def __init__(self, flush_bytes: int = 1 << 20) -> None:
        self.log = MemoryLog()
        self.lake = MemoryLake()
        self.ledger = MovingLedger()
        self.letters = MemoryDeadLetters()
        self.reader = FailingReader(self.log, "archiver")
        self.config = LakeConfig(flush_ms=FLUSH_MS, flush_bytes=flush_bytes)
        self.archiver = self.start()

    def start(self) -> Archiver:
        self.archiver = Archiver(self.reader, self.lake, self.ledger, self.letters, self.config, random.Random(1))
        return self.archiver

    def step(self, after_ms: int = 0) -> int:
        return self.archiver.step(NOON_MS + after_ms)

    def passed_ms(self, partition: str = P) -> int:
        return self.ledger.notes[partition].passed_ms - NOON_MS


def test_events_are_in_the_lake_when_the_time_to_flush_has_passed() -> None:
    world = World()
    world.log.append(P, [click(1), click(2)], NOON_MS + 7)
    assert world.step(10) == 2
    assert world.step(9_000) == 0
    assert world.lake.contents == {}
    assert world.ledger.notes == {}
    world.step(10 + FLUSH_MS)
    assert list(world.lake.contents) == ["raw/date=2026-11-27/hour=12/edge-0-00000000-000000-00000000-000001.parquet"]
    assert [row["append_delay_ms"] for row in lake_rows(world.lake)] == [7, 7]
    assert world.reader.committed() == {P: "00000001-000000"}
    assert world.passed_ms() == 10 + FLUSH_MS


def test_each_hour_of_each_partition_is_a_file_of_its_own() -> None:
    world = World()
    world.log.append(P, [click(1), click(2, NOON_MS + HOUR_MS), click(3, NOON_MS + 1)], NOON_MS)
    world.log.append("import-x", [click(9, NOON_MS - 40 * 24 * HOUR_MS, "i1")], NOON_MS)
    world.step()
    world.step(FLUSH_MS)
    assert sorted(name.removeprefix("raw/") for name in world.lake.contents) == [
        "date=2026-10-18/hour=12/import-x-00000000-000000-00000000-000000.parquet",
        "date=2026-11-27/hour=12/edge-0-00000000-000000-00000000-000002.parquet",
        "date=2026-11-27/hour=13/edge-0-00000000-000001-00000000-000001.parquet",
    ]
    assert lake_ids(world.lake) == [("e1", 1), ("e1", 2), ("e1", 3), ("i1", 9)]


def test_an_idle_partition_advances_with_each_flush() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.log.append_control("edge-1", Opening("e2", NOON_MS), NOON_MS)
    for n in range(4):
        world.step(n * FLUSH_MS)
    assert world.passed_ms() == 3 * FLUSH_MS
    assert world.passed_ms("edge-1") == 3 * FLUSH_MS
    assert len(world.lake.contents) == 1


def test_many_bytes_are_flushed_at_once() -> None:
    world = World(flush_bytes=1_000)
    world.log.append(P, [click(seq) for seq in range(1, 11)], NOON_MS)
    world.step(1)
    assert len(lake_ids(world.lake)) == 10
    assert world.archiver.report().buffered_bytes == 0


def test_what_did_not_fit_is_not_claimed_as_passed() -> None:
    world = World(flush_bytes=1_000)
    world.reader.records_max = 1
    for seq in range(1, 21):
        world.log.append(P, [click(seq)], NOON_MS)
    world.step(1)
    assert 0 < len(lake_ids(world.lake)) < 20
    assert world.ledger.notes[P].passed_ms == 0
    while world.step(2):
        pass
    world.archiver.close(NOON_MS + 2)
    assert lake_ids(world.lake) == [("e1", seq) for seq in range(1, 21)]
    assert world.passed_ms() == 2


def test_who_wants_the_archive_gets_a_flush_within_half_a_second() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.step(1)
    world.ledger.want_archived(NOON_MS + 2)
    world.step(501)
    assert lake_ids(world.lake) == [("e1", 1)]
    assert world.passed_ms() == 501
    world.step(1_100)
    assert world.archiver.report().flushes == 1


def test_a_wish_is_not_met_by_a_flush_that_did_not_reach_the_end() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.log.append("edge-1", [click(1, edge_id="e2")], NOON_MS)
    world.reader.broken = Partition("edge-1")
    world.ledger.want_archived(NOON_MS)
    world.step(600)
    assert world.archiver.report().flushes == 0
    world.reader.broken = None
    world.step(1_200)
    assert world.archiver.report().flushes == 1
    assert world.passed_ms("edge-1") == 1_200


def test_a_ledger_that_is_away_is_asked_again_and_the_rest_goes_on() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.ledger.away = True
    assert world.step(600) == 1


@pytest.mark.parametrize("what", ["lake", "ledger", "commit"])
def test_a_failed_flush_is_tried_again_after_a_pause_and_loses_nothing(what: str) -> None:
    world = World()
    world.log.append(P, [click(1), click(2, NOON_MS + HOUR_MS)], NOON_MS)
    world.step(1)
    world.lake.away, world.ledger.away, world.reader.commits_fail = what == "lake", what == "ledger", what == "commit"
    world.step(FLUSH_MS + 1)
    assert world.archiver.report().failures == 1
    assert world.reader.committed() == {}
    world.log.append(P, [click(3)], NOON_MS)
    world.step(FLUSH_MS + 2)
    report = world.archiver.report()
    assert report.failures == 1, "the pause is over at once"
    assert report.trouble
    assert [(each.events, each.oldest_appended_ms) for each in report.partitions] == [(2, NOON_MS)]
    world.lake.away = world.ledger.away = world.reader.commits_fail = False
    world.step(FLUSH_MS + 2 + BACKOFF_MS)
    world.archiver.close(NOON_MS + 2 * FLUSH_MS)
    assert lake_ids(world.lake) == [("e1", 1), ("e1", 2), ("e1", 3)]
    assert world.reader.committed() == {P: "00000002-000000"}
    assert world.archiver.report().trouble == ""


def test_pauses_grow_up_to_a_bound() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.step()
    world.lake.away = True
    tried: list[int] = []
    for after_ms in range(FLUSH_MS, FLUSH_MS + 300_000, 50):
        before = world.archiver.report().failures
        world.step(after_ms)
        if world.archiver.report().failures > before:
            tried.append(after_ms)
    pauses = [later - sooner for sooner, later in itertools.pairwise(tried)]
    assert all(BACKOFF_MS / 2 <= pause <= BACKOFF_MS_MAX + 50 for pause in pauses)
    assert pauses[0] <= BACKOFF_MS + 50
    assert pauses[-1] >= BACKOFF_MS_MAX / 2


def test_a_failure_between_two_files_does_not_write_the_first_again() -> None:
    world = World()
    world.log.append(P, [click(1), click(2, NOON_MS + HOUR_MS), click(3, NOON_MS + 2 * HOUR_MS)], NOON_MS)
    world.step()
    world.lake.fail_after = 2
    world.step(FLUSH_MS)
    assert len(world.lake.contents) == 2
    world.lake.fail_after = 1
    assert world.archiver.close(NOON_MS + FLUSH_MS + 1)
    assert len(lake_ids(world.lake)) == 3
    report = world.archiver.report()
    assert (report.files, report.events, report.flushes) == (3, 3, 2)


def test_a_close_that_fails_says_so() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.step()
    world.lake.away = True
    assert not world.archiver.close(NOON_MS + 1)
    assert world.reader.committed() == {}


def test_a_restart_goes_on_where_the_last_flush_ended() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.step()
    world.archiver.close(NOON_MS)
    world.log.append(P, [click(2)], NOON_MS)
    world.start()
    assert world.step(1) == 1
    world.archiver.close(NOON_MS + 1)
    assert lake_ids(world.lake) == [("e1", 1), ("e1", 2)]


def test_a_position_that_is_gone_stops_the_archiver() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.log.records[P][0] = Record(P, "damaged", 0, b"", Position("a"), Position("b"), reason="removed")
    with pytest.raises(PositionGoneError):
        world.step()


def test_a_partition_that_cannot_be_read_holds_no_other_back() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.log.append("edge-1", [click(1, edge_id="e2")], NOON_MS)
    world.reader.broken = P
    world.step()
    world.step(FLUSH_MS)
    assert lake_ids(world.lake) == [("e2", 1)]
    assert world.ledger.notes[P].passed_ms == 0
    assert world.passed_ms("edge-1") == FLUSH_MS


def test_a_clock_that_jumps_back_flushes_and_goes_on() -> None:
    world = World()
    world.log.append(P, [click(1)], NOON_MS)
    world.step(FLUSH_MS)
    world.step(0)
    assert lake_ids(world.lake) == [("e1", 1)]
    world.ledger.away = True
    world.step(FLUSH_MS)
    assert world.archiver.report().trouble
    world.ledger.away = False
    world.step(-HOUR_MS)
    assert world.archiver.report().trouble == ""


def test_control_records_become_marks_and_absences() -> None:
    world = World()
    world.log.append_control(P, Opening("e1", NOON_MS - 1), NOON_MS)
    world.log.append_control(P, Heartbeat("e1", 3, NOON_MS + 5, 42), NOON_MS)
    world.log.append_control(P, Heartbeat("e1", 7, NOON_MS + 9), NOON_MS)
    world.log.append_control(P, Lost("e1", 8, 9, NOON_MS + 8), NOON_MS)
    world.log.append_control(P, Closing("e1", 12, NOON_MS + HOUR_MS), NOON_MS)
    world.log.append_control(P, Closing("", 0, NOON_MS), NOON_MS)
    world.step()
    world.archiver.close(NOON_MS)
    assert sorted(world.ledger.edge_marks.values(), key=lambda mark: mark.hour_ms) == [
        EdgeMark("e1", NOON_MS - HOUR_MS, P, 0, NOON_MS - 1),
        EdgeMark("e1", NOON_MS, P, 9, NOON_MS + 9),
        EdgeMark("e1", NOON_MS + HOUR_MS, P, 12, NOON_MS + HOUR_MS, closed=True),
    ]
    assert world.ledger.known_absences == {Absence("e1", 8, 9, "lost", NOON_MS + 8)}


def test_dead_letters_are_kept_before_the_position_is_committed() -> None:
    world = World()
    world.log.append_raw(P, b"{", NOON_MS)
    world.step()
    world.ledger.away = True
    world.archiver.close(NOON_MS)
    assert world.letters.list(9) == [
        DeadLetter(P, Position("00000000-000000"), "Input data was truncated", b"{", NOON_MS)
    ]
    world.ledger.away = False
    world.archiver.close(NOON_MS)
    assert world.letters.count() == 1
    assert world.archiver.report().dead_letters == 1
