"""Power is lost under load: what got its 302 is counted once, live and finally. See power.py for what the disk forgets.

It is not the real thing: syncs are believed to do what they say, writes below a sector are whole, and what chDB maps
into its memory for writing would not be seen (it does so with nothing).
"""

import random
import subprocess
import time
from pathlib import Path

import pytest

from faults.conftest import ADS
from faults.power import Disk
from faults.shim import Shim
from faults.traffic import load
from support.embedded import ADTALLY, Embedded
from support.log_oracle import compare_with_log

RATE = 1_000.0


def lose_power(system: Embedded, shim: Shim, disk: Disk, rnd: random.Random, keeps: bool) -> None:
    """Kill everything, let the disk forget, and take what is left for the new beginning."""
    shim.kill_all()
    system.wait_killed()
    disk.replay()
    disk.lose_power(rnd, keeps)
    disk.watch()


@pytest.mark.system
def test_power_is_lost_under_load_and_no_acknowledged_click_with_it(
    system: Embedded, shim: Shim, tmp_path: Path, seed: int, pytestconfig: pytest.Config
) -> None:
    rnd = random.Random(seed)
    disk = Disk(system.folder, shim.journals)
    disk.watch()
    shim.keep_journal()
    system.start()
    truths: list[Path] = []
    losses: int = pytestconfig.getoption("--power-losses")
    for number in range(losses):
        truths.append(tmp_path / f"truth-{number}")
        with load(system, truths[-1], RATE, 5, rnd.randrange(1 << 30)):
            time.sleep(rnd.uniform(1.5, 5.0))
            # Each second time nothing at all is left of what was not synced.
            lose_power(system, shim, disk, rnd, keeps=number % 2 == 1)
            begun_s = time.monotonic()
            system.start()
            ready_s = time.monotonic() - begun_s
        compared = compare_with_log(system, truths, ADS)
        print(f"loss {number + 1}, ready after {ready_s:.1f} s:", *compared.lines(), sep="\n  ")
    become_final(system, shim, disk, rnd)
    print("final:", *compare_with_log(system, truths, ADS, status="final").lines(), sep="\n  ")
    assert system.stop() == 0
    disk.replay()
    # Metrics are written through mapped memory; what is in run/ is gone with each start.
    assert [each for each in disk.differences() if "/run/metrics/" not in each] == [], "the shim missed a call"


def become_final(system: Embedded, shim: Shim, disk: Disk, rnd: random.Random) -> None:
    """Let the hours of the clicks end, and lose power while they are counted again."""
    shim.set_clock(2 * 3600)
    command = [*ADTALLY, "reconcile", "--data-dir", str(system.folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as recount:
        time.sleep(rnd.uniform(0.3, 3.0))
        lose_power(system, shim, disk, rnd, keeps=rnd.random() < 0.5)
        recount.kill()
    system.start()
    system.command("reconcile")
