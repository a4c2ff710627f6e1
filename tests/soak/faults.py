"""Faults at seeded random moments: processes are killed, or stand still for seconds."""

import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

from support.embedded import Embedded, kill

if TYPE_CHECKING:
    from subprocess import Popen

CHILDREN = ("edge-0", "edge-1", "counter", "store")
GAP_S = (3.0, 12.0)
STOP_S = (0.5, 3.0)
"""Less than what makes the supervisor take a silent process for a dead one."""
LONG_STOP_S = (6.0, 9.0)
"""More than that."""


class Faults:
    """Makes faults for as long as a load runs."""

    def __init__(self, system: Embedded, rnd: random.Random) -> None:
        self.made: Counter[str] = Counter()
        self._system = system
        self._rnd = rnd

    def until(self, load: "Popen[bytes]", deadline_s: float, *, gentle: bool) -> None:
        """Make faults until the load ends or the deadline has passed; `gentle` ones let every process live."""
        while load.poll() is None and time.monotonic() < deadline_s:
            time.sleep(min(self._rnd.uniform(*GAP_S), max(0.0, deadline_s - time.monotonic())))
            if load.poll() is None:
                self._make(
                    "pause" if gentle else self._rnd.choice(["kill", "kill", "pause", "long pause", "supervisor"])
                )

    def _make(self, kind: str) -> None:
        victim = self._rnd.choice(CHILDREN)
        if kind == "supervisor":
            victim = "supervisor"
            self._system.kill_supervisor()
            self._system.start()
        elif kind == "kill":
            kill(self._pid(victim))
        else:
            self._pause(self._pid(victim), self._rnd.uniform(*(LONG_STOP_S if kind == "long pause" else STOP_S)))
        self.made[f"{kind} {victim}" if victim != kind else kind] += 1

    def _pid(self, role: str) -> int:
        return int(self._system.run_info()["pids"][role])

    def _pause(self, pid: int, seconds: float) -> None:
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            # Taken for dead and killed, as is meant to be, or killed just before.
            return
