"""What becomes of clicks when the spool has no room, and what it takes of the disk."""

from pathlib import Path

import pytest

from adtally.errors import LogError
from adtally.event import Closing, Opening
from support.spool_host import Host, event


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
