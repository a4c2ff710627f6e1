"""Every process stands still for a while under load: short freezes end by themselves, longer ones with a restart."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from adtally.process.supervisor import SILENT_S_MAX
from faults.lab import Lab
from support.embedded import wait_for

pytestmark = pytest.mark.system

CHILDREN = ["edge-0", "edge-1", "counter", "store"]
SHORT_S_MAX = 1.5
"""Less than SILENT_S_MAX by what a busy machine may add."""
REPLACED_S_MAX = 60.0
FREEZES_MIN = 3


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # Somebody may have killed it meanwhile.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_who_is_frozen_for_a_while_goes_on_and_who_stays_frozen_is_replaced(
    running: Lab, seed: int, pytestconfig: pytest.Config
) -> None:
    rnd = random.Random(seed)
    seconds: float = pytestconfig.getoption("--freeze-seconds")
    freezes = 0
    with running.load(1_000, seconds, rnd):
        end_s = time.monotonic() + seconds - SILENT_S_MAX - 4
        while freezes < FREEZES_MIN or time.monotonic() < end_s:
            victim = rnd.choice([*CHILDREN, "supervisor"])
            info = running.system.run_info()
            with frozen(info["supervisor_pid"] if victim == "supervisor" else info["pids"][victim]):
                time.sleep(rnd.uniform(0.1, SHORT_S_MAX))
            freezes += 1
            time.sleep(rnd.uniform(0.1, 0.5))
        assert running.restarts() == 0, "a short freeze was taken for an end"
        victim = rnd.choice(CHILDREN)
        with frozen(running.system.run_info()["pids"][victim]):
            wait_for(lambda: running.restarts() == 1, REPLACED_S_MAX, f"{victim} is replaced")
    print(f"{freezes} short freezes, and one of {victim} until it was replaced", *running.compare().lines(), sep="\n  ")
    assert running.restarts() == 1


def test_a_supervisor_that_was_frozen_for_long_kills_nobody(running: Lab) -> None:
    restarts = running.restarts()
    with frozen(running.system.run_info()["supervisor_pid"]):
        time.sleep(SILENT_S_MAX + 2)
    now_s = time.time()
    # By then it has looked at everybody several times.
    running.await_current()
    wait_for(lambda: time.time() > now_s + 1.5, 60, "a second has passed")
    assert running.restarts() == restarts
