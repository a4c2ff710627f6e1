"""The SQLite log on disks that fail, forget and rot, and its housekeeping."""

import random
from pathlib import Path

import apsw
import pytest

from adtally.errors import LogError
from adtally.event import Closing, Lost, decode_control
from adtally.eventlog.sqlite.janitor import checkpoint_finished
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.segment import segment_numbers, segment_path
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from support.disk import SimulatedDisk
from support.sqlite_log import BIG, P, event, read_all, seqs


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk("failing", seed=1)


def test_a_failed_sync_is_reported_and_its_batch_never_read(tmp_path: Path, disk: SimulatedDisk) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG, vfs=disk.name)
    writer.append([event(1)], 2_000)
    disk.failing = True
    for _ in range(3):
        with pytest.raises(LogError):
            writer.append([event(2)], 2_000)
    disk.failing = False
    writer.append([event(3)], 2_000)
    writer.close(None, 3_000)
    assert seqs(read_all(SqliteLogReader(tmp_path, "r", vfs=disk.name))) == [1, 3]


def test_of_a_batch_with_records_a_failed_sync_leaves_nothing(tmp_path: Path, disk: SimulatedDisk) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG, vfs=disk.name)
    disk.failing = True
    with pytest.raises(LogError):
        writer.append_together([event(1)], [Lost("e1", 2, 2, 2_000)], 2_000)
    disk.failing = False
    writer.append_together([event(3)], [Lost("e1", 4, 4, 2_000)], 2_000)
    writer.close(None, 3_000)
    records = read_all(SqliteLogReader(tmp_path, "r", vfs=disk.name))
    assert seqs(records) == [3]
    assert [decode_control(r.payload) for r in records if r.kind == "control"][1:] == [Lost("e1", 4, 4, 2_000)]


def test_a_batch_with_records_is_one_transaction(
    tmp_path: Path, disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG, vfs=disk.name)
    synced: list[str] = []
    monkeypatch.setattr(SimulatedDisk, "note_sync", lambda _, path: synced.append(path))
    writer.append_together([event(1)], [Lost("e1", n, n, 2_000) for n in range(2, 20)], 2_000)
    writer.close(None, 3_000)
    assert len(synced) == 1


def test_what_a_failed_sync_left_in_the_wal_stays_void_after_a_recovery(tmp_path: Path, disk: SimulatedDisk) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG, vfs=disk.name)
    writer.append([event(1)], 2_000)
    # The write reaches the file, the sync fails: a recovery would find the batch.
    disk.failing = False
    original = SimulatedDisk.note_sync

    def fail(self: SimulatedDisk, path: str) -> None:
        raise apsw.IOError("sync failed after the write")

    SimulatedDisk.note_sync = fail  # type: ignore[method-assign]
    with pytest.raises(LogError):
        writer.append([event(2)], 2_000)
    SimulatedDisk.note_sync = original  # type: ignore[method-assign]
    writer.append([event(3)], 2_000)
    writer.close(None, 3_000)
    for shared_memory in tmp_path.glob("*/*-shm"):
        shared_memory.unlink()
    checkpoint_finished(tmp_path, vfs=disk.name)
    recovered = apsw.Connection(str(segment_path(tmp_path / P, 1)))
    found = recovered.execute("SELECT count(*) FROM record").get
    recovered.close()
    assert found == 3, "the recovery did not bring the failed batch back: this test has lost its point"
    assert seqs(read_all(SqliteLogReader(tmp_path, "r", vfs=disk.name))) == [1, 3]


def test_most_commits_leave_the_size_of_the_wal_as_it_was(tmp_path: Path) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG)
    wal = segment_path(tmp_path / P, 1).with_name("00000001.segment-wal")
    sizes = []
    for seq in range(300):
        writer.append([event(seq)] * 30, 2_000)
        sizes.append(wal.stat().st_size)
    writer.close(None, 3_000)
    assert len(set(sizes)) < 40


def test_zeros_behind_the_end_of_a_wal_change_nothing_for_a_recovery(tmp_path: Path) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG)
    for seq in range(50):
        writer.append([event(seq)] * (seq % 7 + 1), 2_000)
    writer.close(None, 3_000)
    for shared_memory in tmp_path.glob("*/*-shm"):
        shared_memory.unlink()
    wal = segment_path(tmp_path / P, 1).with_name("00000001.segment-wal")
    assert wal.read_bytes().endswith(bytes(8_192)), "nothing was written ahead: this test has lost its point"
    assert seqs(read_all(SqliteLogReader(tmp_path, "r"))) == [seq for seq in range(50) for _ in range(seq % 7 + 1)]


def test_a_full_disk_recovers_without_a_new_writer(tmp_path: Path, disk: SimulatedDisk) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, segment_bytes=1, vfs=disk.name)
    kept = []
    for seq in range(1, 60):
        disk.failing = seq % 7 in (3, 4)
        try:
            writer.append([event(seq)], 2_000)
            kept.append(seq)
        except LogError:
            assert disk.failing
    disk.failing = False
    writer.close(None, 3_000)
    assert seqs(read_all(SqliteLogReader(tmp_path, "r", vfs=disk.name))) == kept


@pytest.mark.parametrize("seed", range(20))
def test_power_loss_takes_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    disk = SimulatedDisk(f"forgetful-{seed}", seed)
    rnd = random.Random(seed)
    acknowledged: list[int] = []
    for start in range(3):
        writer = SqliteLogWriter.open(tmp_path, P, f"e{start}", 500, rnd.choice([300, BIG]), vfs=disk.name)
        for seq in range(start * 100, start * 100 + rnd.randrange(1, 12)):
            writer.append([event(seq)], 2_000)
            acknowledged.append(seq)
        writer.close(None, 3_000)
        disk.crash()
    assert seqs(read_all(SqliteLogReader(tmp_path, "r", vfs=disk.name))) == acknowledged


def test_a_disk_that_lies_about_syncs_is_found_out_by_the_power_loss_test(tmp_path: Path) -> None:
    lost = 0
    for seed in range(10):
        disk = SimulatedDisk(f"lying-{seed}", seed)
        root = tmp_path / str(seed)
        writer = SqliteLogWriter.open(root, P, "e1", 500, BIG, vfs=disk.name)
        disk.lying = True
        for seq in range(5):
            writer.append([event(seq)], 2_000)
        writer.close(None, 3_000)
        disk.lying = False
        disk.crash()
        lost += seqs(read_all(SqliteLogReader(root, "r", vfs=disk.name))) != [0, 1, 2, 3, 4]
    assert lost > 5


@pytest.mark.parametrize("seed", range(25))
def test_flipped_bytes_are_reported_and_never_invent_events(tmp_path: Path, seed: int) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, 3_000)
    for seq in range(1, 101):
        writer.append([event(seq)], 2_000)
    writer.close(Closing("e1", 100, 2_000), 3_000)
    checkpoint_finished(tmp_path)
    rnd = random.Random(seed)
    numbers = segment_numbers(tmp_path / P)
    path = segment_path(tmp_path / P, rnd.choice(numbers[:-1]))
    raw = bytearray(path.read_bytes())
    for _ in range(rnd.choice([1, 20])):
        raw[rnd.randrange(len(raw))] ^= 1 << rnd.randrange(8)
    path.write_bytes(bytes(raw))
    records = read_all(SqliteLogReader(tmp_path, "r"))
    found = seqs(records)
    assert found == sorted(set(found))
    assert set(found) <= set(range(1, 101))
    damaged = [record for record in records if record.kind == "damaged"]
    assert len(found) == 100 or damaged
    assert all(record.reason for record in damaged)
    # What lies behind the damaged segment is read all the same.
    assert found[-1] == 100
    assert decode_control(records[-1].payload) == Closing("e1", 100, 2_000)


def test_a_damaged_predecessor_does_not_keep_an_edge_from_starting(tmp_path: Path) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG)
    writer.append([event(1)], 2_000)
    writer.close(None, 3_000)
    path = segment_path(tmp_path / P, 1)
    path.write_bytes(b"\xff" * 8192)
    path.with_name(path.name + "-wal").unlink()
    successor = SqliteLogWriter.open(tmp_path, P, "e2", 4_000, BIG)
    successor.append([event(7)], 5_000)
    successor.close(None, 6_000)
    records = read_all(SqliteLogReader(tmp_path, "r"))
    assert seqs(records) == [7]
    assert [record.kind for record in records].count("damaged") == 1


def test_a_flipped_payload_becomes_one_damaged_record_with_its_bytes(tmp_path: Path) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG)
    for seq in (1, 2, 3):
        writer.append([event(seq)], 2_000)
    writer.close(None, 3_000)
    connection = apsw.Connection(str(segment_path(tmp_path / P, 1)))
    connection.execute("UPDATE record SET payload = CAST(replace(payload, 'ad_id', 'xx_id') AS BLOB) WHERE n = 3")
    connection.close()
    records = read_all(SqliteLogReader(tmp_path, "r"))
    assert seqs(records) == [1, 3]
    assert [(r.reason, b"xx_id" in r.payload) for r in records if r.kind == "damaged"] == [
        ("checksum does not match", True)
    ]


def test_a_retired_partition_says_so_once(tmp_path: Path) -> None:
    SqliteLogWriter.open(tmp_path, P, "e1", 500, BIG).close(None, 600)
    for _ in range(2):
        SqliteLogWriter.retire(tmp_path, P, 1_000)
    reader = SqliteLogReader(tmp_path, "r")
    closings = [decode_control(r.payload) for r in read_all(reader) if r.kind == "control"][1:]
    assert closings == [Closing("e1", 0, 1_000, retired=True)]
    SqliteLogWriter.expect(tmp_path, P, "e2", 2_000)
    assert not getattr(decode_control(read_all(SqliteLogReader(tmp_path, "r"))[-1].payload), "retired", False)
