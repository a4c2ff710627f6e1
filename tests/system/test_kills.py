"""Every process is killed with -9 at seeded random moments under load: nothing is lost, nothing is doubled."""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.embedded import ADTALLY, Embedded, kill
from support.log_oracle import compare_with_log

ADS = 50


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
    command = [*ADTALLY, "load", "--rate", str(rate), "--seconds", str(seconds), "--truth", str(truth)]
    with subprocess.Popen([*command, "--data-dir", str(system.folder), "--seed", str(seed)]) as load:
        kills = kill_until(system, load, random.Random(seed))
    assert load.returncode == 0
    print(system.command("verify", "--truth", str(truth), "--wait", "60"))
    compared = compare_with_log(system, [truth], ADS)
    print("kills:", dict(kills), *compared.lines(), sep="\n  ")
    assert sum(kills.values()) >= seconds / 6


def kill_until(system: Embedded, load: "subprocess.Popen[bytes]", rnd: random.Random) -> Counter[str]:
    """Kill processes until the load ends; give how often each was."""
    kills: Counter[str] = Counter()
    while load.poll() is None:
        time.sleep(rnd.uniform(0.5, 4.0))
        victim = rnd.choice(["edge-0", "edge-1", "counter", "store", "supervisor"])
        kills[victim] += 1
        if victim == "supervisor":
            system.kill_supervisor()
            system.start()
        else:
            kill(system.run_info()["pids"][victim])
    return kills
