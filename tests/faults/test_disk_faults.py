"""The disk is full or broken below one part after the other: no click is lost, no answer lies, nobody is restarted."""

import random

import pytest

from faults.lab import Lab
from faults.shim import Kind

pytestmark = pytest.mark.system

LOG_FAULTS: dict[str, tuple[Kind, int, int]] = {
    "the disk is full": ("no_room", 300_000, 0),
    "writes fail": ("no_write", 0, 0),
    "syncs fail": ("no_sync", 0, 0),
    "syncs take seconds": ("slow_sync", 0, 2_500),
}
"""By name: what fails, bytes that there is room for, milliseconds that each call takes."""

STORE_FAULTS: dict[str, tuple[Kind, str]] = {
    "no room for the lake": ("no_room", "lake"),
    "the lake cannot be written": ("no_write", "lake"),
    "the lake does not sync": ("no_sync", "lake"),
    "no room for the ledger": ("no_room", "ledger.db"),
    "the ledger does not sync": ("no_sync", "ledger.db"),
    "no room for the store": ("no_room", "olap"),
    "the store cannot be written": ("no_write", "olap"),
    "the log cannot be read": ("no_read", "log"),
}


@pytest.mark.parametrize("name", list(LOG_FAULTS))
def test_an_answer_says_whether_the_log_has_the_click(running: Lab, seed: int, name: str) -> None:
    kind, room_bytes, delay_ms = LOG_FAULTS[name]
    with running.load(300, 5, random.Random(seed)):
        with running.shim.fault(kind, "log/edge", room_bytes=room_bytes, delay_ms=delay_ms):
            running.await_not_ready()
            answer = running.click_until(recorded=False)
            assert answer.status == 302
        running.await_ready()
        assert running.click_until(recorded=True).status == 302
    print(f"{name}: sent on after {answer.seconds:.1f} s", *running.compare().lines(), sep="\n  ")
    assert running.restarts() == 0


def test_what_a_failed_sync_was_to_keep_is_not_claimed(running: Lab, seed: int) -> None:
    with running.load(300, 4, random.Random(seed)), running.shim.fault("no_sync", "log/edge", "-wal", times=2) as fault:
        running.await_hits(fault, 2)
        running.await_ready()
    print(*running.compare().lines(), sep="\n  ")
    assert running.restarts() == 0


@pytest.mark.parametrize("name", list(STORE_FAULTS))
def test_clicks_go_on_while_somebody_behind_the_log_has_no_disk(running: Lab, seed: int, name: str) -> None:
    kind, under = STORE_FAULTS[name]
    with running.shim.fault(kind, under) as fault:
        with running.load(300, 4, random.Random(seed)):
            running.await_hits(fault, 1)
        assert running.click_until(recorded=True).status == 302
        running.await_ready()
    running.await_current()
    print(name, *running.compare().lines(), sep="\n  ")
    assert running.restarts() == 0


def test_after_all_these_faults_the_numbers_become_final_as_they_are(running: Lab) -> None:
    running.set_clock(2 * 3600)
    running.await_current()
    running.system.command("reconcile")
    print(*running.compare("final").lines(), sep="\n  ")
    assert running.restarts() == 0
