"""What the simulation has found, each as the shortest history that shows it."""

import os
import random
from pathlib import Path

import apsw
import pytest

from adtally import faultpoint
from adtally.config import LakeConfig, StreamConfig
from adtally.errors import LogError
from adtally.event import Closing, Event, Heartbeat, Opening, decode_control, encode_event
from adtally.eventlog.port import BEGINNING, Partition
from adtally.eventlog.sqlite import segment
from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.lake.archiver import Archiver
from adtally.stream.stream import Stream
from support.counts import InstantPump, MemoryLive, expected_counts
from support.disk import KilledError, SimulatedDisk
from support.memory_lake import MemoryLake
from support.memory_ledger import MemoryLedger
from support.memory_log import MemoryDeadLetters, MemoryLog
from support.reconciling import SETTLED_MS, Backend, history, hour

P = Partition("edge-0")
BIG = 1 << 30
CONFIG = StreamConfig(flush_ms=1, commit_ms=1, dedup_window_ms=60_000, lateness_ms=60_000)
MINUTE_MS = 60_000


def event(edge_id: str, seq: int, ts_ms: int, user_id: str = "u") -> Event:
    return Event(edge_id, seq, ts_ms, "ad", "c", "adv", user_id, "mobile", "ok", "", "")


def count(log: MemoryLog, steps: int = 10) -> tuple[Stream, MemoryLive]:
    live = MemoryLive()
    stream = Stream(log.reader("stream"), MemoryDeadLetters(), InstantPump(live), CONFIG)
    for now_ms in range(steps):
        stream.step(now_ms)
    return stream, live


def test_an_event_that_waited_long_for_its_append_closes_nobody_elses_minute() -> None:
    log = MemoryLog()
    log.append("edge-0", [event("e0", 1, 1_000)], 200_000)
    log.append("edge-1", [event("e1", 1, 900, "v")], 950)
    log.append_control("edge-1", Heartbeat("e1", 1, 1_500), 1_500)
    live = MemoryLive()
    stream = Stream(log.reader("stream"), MemoryDeadLetters(), InstantPump(live), CONFIG)
    for now_ms in range(5):
        stream.step(now_ms)
    log.append("edge-1", [event("e1", 2, 2_000, "w")], 2_000)
    log.append_control("edge-0", Heartbeat("e0", 1, 300_000), 300_000)
    log.append_control("edge-1", Heartbeat("e1", 2, 300_000), 300_000)
    for now_ms in range(5, 10):
        stream.step(now_ms)
    appends = [(950, event("e1", 1, 900, "v")), (200_000, event("e0", 1, 1_000)), (2_000, event("e1", 2, 2_000, "w"))]
    assert live.counts() == expected_counts(appends, CONFIG.dedup_window_ms, CONFIG.lateness_ms)


def test_a_restart_behind_a_retirement_still_knows_of_it() -> None:
    log = MemoryLog()
    log.append_control("edge-1", Opening("e1", 1), 1)
    log.append_control("edge-1", Closing("e1", 0, 2, retired=True), 2)
    live = MemoryLive()
    stream = Stream(log.reader("stream"), MemoryDeadLetters(), InstantPump(live), CONFIG)
    for minute in range(12):
        log.append("edge-0", [event("e0", minute + 1, minute * MINUTE_MS)], minute * MINUTE_MS)
        stream.step(minute)
    assert log.commits["stream"], "nothing was committed: this test has lost its point"
    log.append("edge-0", [event("e0", 13, 12 * MINUTE_MS)], 12 * MINUTE_MS)
    restarted, _ = count(log)
    assert restarted.report(0).positions["edge-0"] == log.records[P][-1].next


def test_a_partition_that_was_taken_up_again_is_awaited_in_a_replay() -> None:
    log = MemoryLog()
    log.append_control("edge-0", Closing("e0", 0, 1, retired=True), 1)
    log.append_control("edge-0", Opening("e2", 10), 10)
    log.append("edge-1", [event("e1", 1, 50)], 50)
    reader = log.reader("stream")
    reader.records_max = 1
    stream = Stream(reader, MemoryDeadLetters(), InstantPump(MemoryLive()), CONFIG)
    assert [stream.step(now_ms) for now_ms in range(5)] == [0] * 5


def test_a_partition_whose_writer_died_before_its_first_record_can_be_retired(tmp_path: Path) -> None:
    SqliteLogWriter.expect(tmp_path, P, "e0", 1)
    SqliteLogWriter.retire(tmp_path, P, 2)
    records = SqliteLogReader(tmp_path, "r").read(P, BEGINNING, 1)
    assert [decode_control(record.payload) for record in records] == [Closing("", 0, 2, retired=True)]


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk("found", seed=1)


def test_a_failed_commit_is_not_read_while_no_new_segment_can_be_made(tmp_path: Path, disk: SimulatedDisk) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e0", 1, BIG, vfs=disk.name)
    disk.broken = True
    with pytest.raises(LogError):
        writer.append([encode_event(event("e0", 1, 2))], 2)
    disk.broken = False
    records = SqliteLogReader(tmp_path, "r", vfs=disk.name).read(P, BEGINNING, BIG)
    assert [record.kind for record in records] == ["control"]
    writer.close(None, 3)
    # The failed batch stands complete in the file: once its writer is gone, it is as good as any other.
    recovered = apsw.Connection(str(segment.segment_path(tmp_path / P, 1)), vfs=disk.name)
    assert recovered.execute("SELECT count(*) FROM record").get == 2
    recovered.close()


def test_what_a_killed_writer_did_not_sync_is_durable_once_it_was_read(
    tmp_path: Path, disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e0", 1, BIG, vfs=disk.name)
    kill_before_the_sync(writer, disk)
    monkeypatch.setattr(segment, "sync_file", lambda path: disk.note_sync(str(path)))
    reader = SqliteLogReader(tmp_path, "r", vfs=disk.name)
    seen = reader.read(P, BEGINNING, BIG)
    reader.close()
    assert len(seen) == 2, "the recovery did not bring the batch back: this test has lost its point"
    disk.crash()
    after = SqliteLogReader(tmp_path, "r", vfs=disk.name)
    assert after.read(P, BEGINNING, BIG) == seen
    after.close()


@pytest.mark.parametrize("calls", range(14))
def test_a_segment_whose_making_was_interrupted_does_not_stop_the_janitor(
    tmp_path: Path, disk: SimulatedDisk, calls: int
) -> None:
    disk.kill_after = calls
    try:
        SqliteLogWriter.open(tmp_path, P, "e0", 1, BIG, vfs=disk.name).close(None, 2)
    except (KilledError, LogError):
        disk.dead = False
    disk.kill_after = None
    for start_ms in (3, 4):
        SqliteLogWriter.open(tmp_path, P, "e1", start_ms, BIG, vfs=disk.name).close(None, start_ms)
    reader = SqliteLogReader(tmp_path, "r", vfs=disk.name)
    records = reader.read(P, BEGINNING, BIG)
    while more := reader.read(P, records[-1].next, BIG):
        records += more
    reader.commit({P: records[-1].next})
    reader.close()
    # The age of what cannot be read is its file's.
    os.utime(segment.segment_path(tmp_path / P, 1), (1, 1))
    checkpoint_finished(tmp_path, disk.name)
    remove_expired(tmp_path, lambda _: ["r"], 1_000_000, disk.name)
    assert len(segment.segment_numbers(tmp_path / P)) == 1


def kill_before_the_sync(writer: SqliteLogWriter, disk: SimulatedDisk) -> None:
    original = SimulatedDisk.sync

    def die(self: SimulatedDisk, path: str) -> bool:
        self.dead = True
        raise KilledError

    SimulatedDisk.sync = die  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        writer.append([encode_event(event("e0", 1, 2))], 2)
    SimulatedDisk.sync = original  # type: ignore[method-assign]
    writer.close(None, 3)
    disk.dead = False


def test_a_partition_with_much_to_give_does_not_keep_the_archiver_from_the_others() -> None:
    log, ledger = MemoryLog(), MemoryLedger()
    config = LakeConfig(flush_ms=1_000, flush_bytes=1)
    archiver = Archiver(log.reader("archiver"), MemoryLake(), ledger, MemoryDeadLetters(), config, random.Random(1))
    reader = log.reader("archiver")
    log.append("edge-1", [event("e1", 1, 1_000)], 1_000)
    for number in range(1, 6):
        # As fast as it is read, the first partition gets more.
        log.append("edge-0", [event("e0", number, number * 1_000)], number * 1_000)
        archiver.step(number * 1_000)
    assert reader.committed()[Partition("edge-1")] == log.records[Partition("edge-1")][-1].next


def test_an_empty_hour_has_no_line_before_the_hours_ahead_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(name: str) -> None:
        if name == "reconcile.published":
            raise KilledError

    backend, rnd = Backend(tmp_path), random.Random(1)
    backend.archive(history(rnd, 20, hour(1), hour(2)))
    backend.archive(history(rnd, 20, hour(4), hour(5), first_seq=21))
    monkeypatch.setattr(faultpoint, "on_reach", kill)
    with pytest.raises(KilledError):
        backend.run(hour(5) + SETTLED_MS)
    # Readers take hours without a line, but with later ones, for empty.
    assert backend.ledger.lines(0, hour(10)) == []
    monkeypatch.setattr(faultpoint, "on_reach", lambda name: None)
    backend.restart()
    backend.run(hour(5) + SETTLED_MS)
    assert [(line.hour_ms, line.state) for line in backend.ledger.lines(0, hour(10))] == [
        (hour(index), "final") for index in range(1, 5)
    ]
