"""A system under load and under faults, and what it may never do: lose an acknowledged click, or count one twice."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from faults.shim import Fault, Shim
from support.embedded import ADTALLY, Embedded, wait_for
from support.log_oracle import PROBE, Comparison, as_of_s, compare_with_log

ADS = 20
PROBES = 8
"""So many new connections meet each of two workers, but for a chance of 1 in 256."""


class Answer(msgspec.Struct, frozen=True):
    """How one click was answered."""

    status: int
    recorded: bool
    seconds: float


class Lab:
    """One system, its faults, and the truth of all that it was sent."""

    def __init__(self, shim: Shim, system: Embedded, folder: Path) -> None:
        self.shim = shim
        self.system = system
        self._folder = folder
        self.truths: list[Path] = []
        self.clock_s = 0.0

    @contextmanager
    def load(self, rate: float, seconds: float, rnd: random.Random) -> Iterator["subprocess.Popen[bytes]"]:
        """Send clicks while the block runs, from a process that no fault touches; wait at its end for the last one."""
        self.truths.append(self._folder / f"truth-{len(self.truths)}")
        command = [*ADTALLY, "load", "--rate", str(rate), "--seconds", str(seconds), "--truth", str(self.truths[-1])]
        command += ["--data-dir", str(self.system.folder), "--seed", str(rnd.randrange(1 << 30))]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sending:
            # By then it knows the ads and where clicks go, and begins.
            wait_for(self.truths[-1].exists, 60, "the load has begun")
            yield sending
        assert sending.returncode == 0

    def click(self) -> Answer:
        """Send one request that makes an event and no click, by a new connection."""
        begun_s = time.monotonic()
        headers = {"User-Agent": "Googlebot/2.1", "Purpose": "prefetch"}
        answer = httpx.get(
            self.system.click_url + f"/click?ad_id=ad_0&user_id={PROBE}", headers=headers, trust_env=False
        )
        recorded = answer.headers.get("X-Click-Recorded") != "false"
        return Answer(answer.status_code, recorded, time.monotonic() - begun_s)

    def click_until(self, *, recorded: bool) -> Answer:
        """Give the first answer that says so: a full disk may still have room for one click, a busy one no time."""
        answers: list[Answer] = []

        def answered() -> bool:
            answers.append(self.click())
            return answers[-1].recorded is recorded

        wait_for(answered, 20, f"an answer with {recorded=}")
        return answers[-1]

    def set_clock(self, ahead_s: float) -> None:
        self.clock_s = ahead_s
        self.shim.set_clock(ahead_s)

    def ready(self) -> list[bool]:
        """Give what several connections hear of the edge's readiness."""
        return [httpx.get(self.system.click_url + "/-/readyz", trust_env=False).is_success for _ in range(PROBES)]

    def await_not_ready(self) -> None:
        wait_for(lambda: not all(self.ready()), 20, "the edge says that it takes no clicks")

    def await_hits(self, fault: Fault, number: int) -> None:
        wait_for(lambda: fault.hits >= number, 20, "the fault has hit")

    def await_ready(self) -> None:
        wait_for(lambda: all(self.ready()), 20, "the edge takes clicks again")

    def await_current(self) -> None:
        """Wait until what was clicked up to now is counted, and archived."""
        now_s = self.now_s()
        wait_for(lambda: as_of_s(self.system) > now_s, 40, "the live count is current")
        wait_for(lambda: self.archived_s() > now_s, 40, "the archive is current")

    def archived_s(self) -> float:
        """Give up to when everything is in the lake, in epoch seconds."""
        archive = self.system.api("/v1/status")["archiver"]
        return self.now_s() - archive["lag_ms"] / 1000 if archive else 0.0

    def now_s(self) -> float:
        return time.time() + self.clock_s

    def restarts(self) -> int:
        return sum(self.system.run_info()["restarts"].values())

    def compare(self, status: str = "", *, at_most: bool = False) -> Comparison:
        """Fail if a click was lost, doubled or counted wrongly."""
        return compare_with_log(self.system, self.truths, ADS, status, at_most=at_most)
