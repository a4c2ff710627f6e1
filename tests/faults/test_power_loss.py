"""Power is lost under load: what got its 302 is counted once, live and finally. See power.py for what the disk forgets.

It is not the real thing: syncs are believed to do what they say, and writes below a sector are whole.
"""

import random
import subprocess
import time

import pytest

from faults.lab import ADS, Lab
from faults.power import Disk
from support.embedded import ADTALLY
from support.log_oracle import compare_with_log

RATE = 1_000.0


@pytest.mark.system
def test_power_is_lost_under_load_and_no_acknowledged_click_with_it(
    lab: Lab, seed: int, pytestconfig: pytest.Config
) -> None:
    rnd = random.Random(seed)
    disk = Disk(lab.system.folder, lab.shim.journals)
    disk.watch()
    lab.shim.keep_journal()
    lab.system.start()
    losses: int = pytestconfig.getoption("--power-losses")
    for number in range(losses):
        with lab.clicks(RATE, 5, rnd):
            time.sleep(rnd.uniform(1.5, 5.0))
            # Each second time nothing at all is left of what was not synced.
            lose_power(lab, disk, rnd, keeps=number % 2 == 1)
            ready_s = start(lab)
        print(f"loss {number + 1}, ready after {ready_s:.1f} s:", *lab.compare().lines(), sep="\n  ")
    become_final(lab, disk, rnd)
    print("final:", *lab.compare("final").lines(), sep="\n  ")
    assert lab.system.stop() == 0
    disk.replay()
    assert [each for each in disk.differences() if not unordered(each)] == [], "the shim missed a call"


def unordered(difference: str) -> bool:
    """Tell whether a difference is none that matters.

    Metrics are written through mapped memory; what is in run/ is gone with each start. The WAL of a finished segment is
    made by one process while another removes it, and the journals do not tell who came last: it is empty then.
    """
    return "/run/metrics/" in difference or difference.endswith(("-wal: only on the disk", "-wal: not on the disk"))


@pytest.mark.system
def test_clicks_that_a_disk_only_claimed_to_have_kept_are_missed_after_a_loss_of_power(lab: Lab, seed: int) -> None:
    rnd = random.Random(seed)
    disk = Disk(lab.system.folder, lab.shim.journals)
    disk.watch()
    lab.shim.keep_journal()
    lab.system.start()
    with lab.shim.fault("false_sync", "log"):
        with lab.load(500, 2, rnd):
            pass
        lose_power(lab, disk, rnd, keeps=False)
    with pytest.raises(AssertionError, match="acknowledged events are not in the log"):
        compare_with_log(lab.system, lab.truths, ADS)


def lose_power(lab: Lab, disk: Disk, rnd: random.Random, keeps: bool) -> None:
    """Kill everything, let the disk forget, and take what is left for the new beginning."""
    lab.shim.kill_all()
    lab.system.wait_killed()
    disk.replay()
    disk.lose_power(rnd, keeps)
    disk.watch()


def start(lab: Lab) -> float:
    """Start the system again; give the seconds until it was ready."""
    begun_s = time.monotonic()
    lab.system.start()
    return time.monotonic() - begun_s


def become_final(lab: Lab, disk: Disk, rnd: random.Random) -> None:
    """Let the hours of the clicks end, and lose power while they are counted again."""
    lab.set_clock(2 * 3600)
    command = [*ADTALLY, "reconcile", "--data-dir", str(lab.system.folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as recount:
        time.sleep(rnd.uniform(0.3, 3.0))
        lose_power(lab, disk, rnd, keeps=rnd.random() < 0.5)
        recount.kill()
    start(lab)
    lab.await_current()
    lab.system.command("reconcile")
