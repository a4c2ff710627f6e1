"""What becomes of clicks when the spool has no room, and what it takes of the disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import adtally.eventlog.sqlite.ahead
import adtally.eventlog.sqlite.segment
from adtally.errors import LogError
from adtally.event import Closing, Opening
from adtally.eventlog.port import Record
from adtally.eventlog.spool import store
from adtally.eventlog.spool.store import SpoolStore
from adtally.eventlog.sqlite.segment import segment_path
from support.disk import SimulatedDisk
from support.spool_host import Host, event


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedDisk]:
    disk = SimulatedDisk("spool-full", 1)
    monkeypatch.setattr(adtally.eventlog.sqlite.segment, "sync_file", lambda path: disk.note_sync(str(path)))
    monkeypatch.setattr(adtally.eventlog.sqlite.ahead, "append_file", lambda path, more: disk.append(str(path), more))
    yield disk
    disk.unregister()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_full_spool_says_so_and_takes_again_what_fits_after_draining(host: Host) -> None:
    start = host.start(bytes_max=60_000)
    start.set_away(True)
    kept = start.fill()
    asked = start.fresh.asked
    for _ in range(3):
        with pytest.raises(LogError, match="spool is full"):
            start.writer.append([event(kept + 1)], 2_000)
    assert (start.fresh.asked, start.full()) == (asked, True)
    assert kept > 3
    start.set_away(False)
    start.drain_all()
    assert not start.full()
    start.writer.append([event(100)], 2_000)
    assert host.seqs() == [*range(1, kept + 1), 100]
    start.die()


def test_an_edge_starts_though_the_dead_have_filled_the_spool_and_takes_clicks_once_that_is_drained(host: Host) -> None:
    first = host.start("e1", bytes_max=60_000)
    first.set_away(True)
    kept = first.fill()
    first.die()
    second = host.start("e2", bytes_max=60_000, away=True)
    with pytest.raises(LogError, match="spool is full"):
        second.writer.append([event(1, "e2")], 2_000)
    second.drain_all()
    assert second.full()
    second.set_away(False)
    second.drain_all()
    assert not second.full()
    second.writer.append([event(2, "e2")], 2_000)
    assert host.seqs() == [*range(1, kept + 1), 2]
    second.die()


def test_a_clock_that_jumps_back_while_the_spool_is_full_does_not_stop_the_edge_for_good(host: Host) -> None:
    start = host.start(bytes_max=60_000)
    start.set_away(True)
    kept = start.fill()
    start.writer.append_control(Closing("e1", kept, 2_000), 1_000)
    for _ in range(2):
        start.writer.append_control(Opening("e1b", 1_000), 1_000)
    with pytest.raises(LogError, match="spool is full"):
        start.writer.append([event(1, "e1b")], 1_000)
    start.set_away(False)
    start.drain_all()
    start.writer.append([event(2, "e1b")], 1_000)
    assert host.seqs() == [*range(1, kept + 1), 2]
    assert host.controls()[1:3] == [Closing("e1", kept, 2_000), Opening("e1b", 1_000)]
    start.die()


def test_what_the_spool_says_it_takes_is_what_it_takes_of_the_disk(host: Host) -> None:
    start = host.start(bytes_max=1 << 30)
    start.set_away(True)
    before = disk_used(host.root)
    for seq in range(1, 400):
        start.writer.append([event(seq)], 2_000)
    used, said = disk_used(host.root) - before, start.writer.spooled_bytes
    print(f"{399 * len(event(1))} bytes of clicks, {used} of the disk, {said} are said")
    assert used < said < 2.5 * used
    for seq in range(1, 40):
        start.writer.append([event(seq * 500 + n) for n in range(500)], 2_000)
    used, said = disk_used(host.root) - before, start.writer.spooled_bytes
    assert 0.9 * used < said < 1.5 * used
    start.die()


def disk_used(root: Path) -> int:
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def test_a_full_disk_does_not_keep_the_spool_from_being_emptied(
    host: Host, disk: SimulatedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SEGMENT_BYTES", 1_000)
    start = host.start(vfs=disk.name)
    start.set_away(True)
    for seq in range(1, 31):
        start.writer.append([event(seq)], 2_000)
    disk.full = True
    before = disk_used(host.root)
    start.set_away(False)
    start.drain_all()
    assert (host.seqs(), start.writer.spooled_bytes) == ([*range(1, 31)], 0)
    assert disk_used(host.root) < before / 2
    start.die()
    disk.full = False
    second = host.start("e2", vfs=disk.name)
    second.drain_all()
    assert set(host.seqs()) == {*range(1, 31)}
    assert [folder.name for folder in host.root.iterdir() if folder.is_dir()] == ["e2"]
    second.die()


def test_what_is_damaged_in_the_spool_holds_nothing_else_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SEGMENT_BYTES", 1_000)
    start = host.start()
    start.set_away(True)
    for seq in range(1, 31):
        start.writer.append([event(seq)], 2_000)
    damage(segment_path(host.root / "e1" / "spool", 3))
    start.set_away(False)
    start.drain_all()
    assert start.writer.spooled_bytes == 0
    assert start.writer.oldest_spooled_ts_ms is None
    assert {1, 30} < set(host.seqs()) < {*range(1, 31)}
    start.writer.close(Closing("e1", 30, 3_000), 3_000)
    assert host.controls()[-1] == Closing("e1", 30, 3_000)


def damage(segment: Path) -> None:
    """Overwrite what the segment's write-ahead log holds behind its first pages."""
    wal = segment.with_name(segment.name + "-wal")
    raw = bytearray(wal.read_bytes())
    raw[len(raw) // 3 : len(raw) * 2 // 3] = bytes(len(raw) * 2 // 3 - len(raw) // 3)
    wal.write_bytes(bytes(raw))


def test_a_folder_that_cannot_be_read_does_not_hold_back_those_that_were_left_later(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for edge_id in ("e1", "e2"):
        left = host.start(edge_id)
        left.set_away(True)
        left.writer.append([event(1, edge_id)], 2_000)
        left.die()
    last = host.start("e3", away=True)
    real = SpoolStore.read

    def read(each: SpoolStore, size: int) -> list[Record]:
        if each.edge_id == "e1":
            raise LogError("the disk does not give it back")
        return real(each, size)

    monkeypatch.setattr(SpoolStore, "read", read)
    last.set_away(False)
    last.drain_all()
    assert host.ids() == {("e2", 1)}
    last.die()
