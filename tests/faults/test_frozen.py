"""Every process stands still for a while under load: short freezes end by themselves, longer ones with a restart."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adtally.process.supervisor import SILENT_S_MAX
from faults.lab import Lab
from support.embedded import wait_for

pytestmark = pytest.mark.system

CHILDREN = ["edge-0", "edge-1", "counter", "store"]
SHORT_S_MAX = 2.0


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # Somebody may have killed it meanwhile.
        if alive(pid):
            os.kill(pid, signal.SIGCONT)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_who_is_frozen_for_a_while_goes_on_and_who_stays_frozen_is_replaced(
    running: Lab, seed: int, pytestconfig: pytest.Config
) -> None:
    rnd = random.Random(seed)
    seconds: float = pytestconfig.getoption("--freeze-seconds")
    freezes = 0
    with running.load(1_000, seconds, rnd) as sending:
        end_s = time.monotonic() + seconds - SILENT_S_MAX - 4
        while time.monotonic() < end_s:
            victim = rnd.choice([*CHILDREN, "supervisor"])
            info = running.system.run_info()
            with frozen(info["supervisor_pid"] if victim == "supervisor" else info["pids"][victim]):
                time.sleep(rnd.uniform(0.1, SHORT_S_MAX))
            freezes += 1
            time.sleep(rnd.uniform(0.1, 0.5))
        assert running.restarts() == 0, "a short freeze was taken for an end"
        victim = rnd.choice(CHILDREN)
        with frozen(running.system.run_info()["pids"][victim]):
            wait_for(lambda: running.restarts() == 1, SILENT_S_MAX + 10, f"{victim} is replaced")
        assert sending.poll() is None, "the load ended before the last freeze"
    print(f"{freezes} short freezes, and one of {victim} until it was replaced", *running.compare().lines(), sep="\n  ")
    assert running.restarts() == 1


def test_a_supervisor_that_was_frozen_for_long_kills_nobody(running: Lab) -> None:
    restarts = running.restarts()
    with frozen(running.system.run_info()["supervisor_pid"]):
        time.sleep(SILENT_S_MAX + 2)
    now_s = time.time()
    # By then it has looked at everybody several times.
    running.await_current()
    wait_for(lambda: time.time() > now_s + 1.5, 10, "a second has passed")
    assert running.restarts() == restarts
