"""Every process is killed with -9 at seeded random moments under load: nothing is lost, nothing is doubled."""

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.embedded import ADTALLY, Embedded, kill, wait_for
from support.log_oracle import compare_with_log

ADS = 50
LOAD_S_MAX = 3_600.0
BEGUN_S_MAX = 90.0


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Embedded]:
    system = Embedded(tmp_path / "data", edges=2)
    ads = tmp_path / "ads.csv"
    rows = [f"ad_{n},adv_{n % 5},https://shop.example/{n},cmp_{n % 10}" for n in range(ADS)]
    ads.write_text("ad_id,advertiser_id,landing_url,campaign_id\n" + "\n".join(rows) + "\n")
    system.command("ads", "import", str(ads))
    system.start()
    yield system
    system.stop()


@pytest.mark.system
def test_nothing_is_lost_and_nothing_doubled_whatever_is_killed(
    system: Embedded, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    seconds, rate = request.config.getoption("--kill-seconds"), request.config.getoption("--kill-rate")
    truth = tmp_path / "truth"
    command = [*ADTALLY, "load", "--rate", str(rate), "--seconds", str(LOAD_S_MAX), "--truth", str(truth)]
    with subprocess.Popen([*command, "--data-dir", str(system.folder), "--seed", str(seed)]) as load:
        try:
            wait_for(lambda: truth.exists() and truth.stat().st_size > 0, BEGUN_S_MAX, "a click was answered")
            kills = kill_for(system, seconds, int(seconds / 6), random.Random(seed))
            assert load.poll() is None, "the load ended by itself"
        except BaseException:
            load.kill()
            raise
        load.send_signal(signal.SIGTERM)
    assert load.returncode == 0
    print(system.command("verify", "--truth", str(truth), "--wait", "180"))
    compared = compare_with_log(system, [truth], ADS)
    print("kills:", dict(kills), *compared.lines(), sep="\n  ")


def kill_for(system: Embedded, seconds: float, number: int, rnd: random.Random) -> Counter[str]:
    """Kill processes for so long, and so many at least; give how often each was."""
    kills: Counter[str] = Counter()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s or kills.total() < number:
        time.sleep(rnd.uniform(0.5, 4.0))
        victim = rnd.choice(["edge-0", "edge-1", "counter", "store", "supervisor"])
        kills[victim] += 1
        if victim == "supervisor":
            system.kill_supervisor()
            system.start()
        else:
            kill(system.run_info()["pids"][victim])
    return kills
