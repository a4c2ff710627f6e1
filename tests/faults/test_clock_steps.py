"""The wall clock of a running system is set back and ahead under load."""

import random
from collections.abc import Callable

import httpx
import pytest

from faults.lab import SOON_S_MAX, Lab
from support.embedded import ANSWER_S, wait_for
from support.log_oracle import as_of_s

pytestmark = pytest.mark.system


def jumps(lab: Lab) -> int:
    """Give how often an edge worker saw its clock go back."""
    lines = httpx.get(lab.system.click_url + "/-/metrics", timeout=ANSWER_S, trust_env=False).text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("adtally_edge_clock_jumps_total"))


def jumped(lab: Lab, number: int) -> Callable[[], bool]:
    return lambda: jumps(lab) == number


def counted(lab: Lab, until_s: float) -> Callable[[], bool]:
    return lambda: as_of_s(lab.system) > until_s


def set_clock(lab: Lab, step_s: float) -> None:
    """Set the clock, and wait until that was seen."""
    before, back = jumps(lab), step_s < lab.clock_s
    lab.set_clock(step_s)
    if back:
        wait_for(jumped(lab, before + 2), SOON_S_MAX, "both workers saw that it went back")
    else:
        wait_for(counted(lab, lab.now_s()), SOON_S_MAX, "both workers and the count saw that it went on")


def test_a_clock_that_is_set_makes_new_edge_ids_and_the_numbers_stay_right(lab: Lab, seed: int) -> None:
    lab.system.start()
    # A worker that still starts would not see that the clock is set.
    lab.await_ready()
    rnd = random.Random(seed)
    with lab.load(500, 5, rnd):
        set_clock(lab, -10)
    lab.await_current()
    print("set back by 10 s, live:", *lab.compare(by_ad=True).lines(), sep="\n  ")
    with lab.load(500, 8, rnd):
        set_clock(lab, 3_600)
        set_clock(lab, 0)
    lab.await_current()
    # Minutes that the stream had closed, and that came again, may be too low until they are final.
    print("an hour ahead and back, live:", *lab.compare(at_most=True, by_ad=True).lines(), sep="\n  ")
    assert lab.system.log.read_text().count("the clock went back by more than a second") == 4
    assert lab.restarts() == 0
    lab.set_clock(3 * 3_600)
    lab.await_current()
    lab.system.command("reconcile")
    print("final:", *lab.compare("final").lines(), sep="\n  ")
