"""A system under load and under faults, and what it may never do: lose an acknowledged click, or count one twice."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import msgspec

from faults.shim import Fault, Shim
from support.embedded import ADTALLY, ANSWER_S, Embedded, wait_for
from support.log_oracle import PROBE, Comparison, as_of_s, compare_with_log

ADS = 20
PROBES = 24
"""So many new connections meet each of two workers, but for a chance of one in sixteen million."""
LOAD_S_MAX = 3_600.0
SOON_S_MAX = 90.0
CURRENT_S_MAX = 180.0
"""An archiver whose disk failed for long tries again after half a minute."""


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
    def load(self, rate: float, seconds: float, rnd: random.Random) -> Iterator[None]:
        """Send clicks until the block's end, but for so long at least, from a process that no fault touches.

        When the block begins some were answered, when it is left all have been, or never will be.
        """
        with self._sending(rate, LOAD_S_MAX, rnd) as sending:
            end_s = time.monotonic() + seconds
            yield
            with suppress(subprocess.TimeoutExpired):
                sending.wait(max(0.0, end_s - time.monotonic()))
            assert sending.poll() is None, "the load ended by itself"
            sending.send_signal(signal.SIGTERM)

    @contextmanager
    def clicks(self, rate: float, seconds: float, rnd: random.Random) -> Iterator[None]:
        """Send clicks for so long, whether the system is there or not; they wait for it until it is."""
        with self._sending(rate, seconds, rnd):
            yield

    @contextmanager
    def _sending(self, rate: float, seconds: float, rnd: random.Random) -> Iterator["subprocess.Popen[bytes]"]:
        truth = self._folder / f"truth-{len(self.truths)}"
        self.truths.append(truth)
        command = [*ADTALLY, "load", "--rate", str(rate), "--seconds", str(seconds), "--truth", str(truth)]
        command += ["--data-dir", str(self.system.folder), "--seed", str(rnd.randrange(1 << 30))]
        command += ["--answer-timeout", str(ANSWER_S)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sending:
            try:
                wait_for(lambda: truth.exists() and truth.stat().st_size > 0, SOON_S_MAX, "a click was answered")
                yield sending
            except BaseException:
                sending.kill()
                raise
        assert sending.returncode == 0

    def click(self) -> Answer:
        """Send one request that makes an event and no click, by a new connection."""
        begun_s = time.monotonic()
        headers = {"User-Agent": "Googlebot/2.1", "Purpose": "prefetch"}
        answer = httpx.get(
            f"{self.system.click_url}/click?ad_id=ad_0&user_id={PROBE}",
            headers=headers,
            timeout=ANSWER_S,
            trust_env=False,
        )
        recorded = answer.headers.get("X-Click-Recorded") != "false"
        return Answer(answer.status_code, recorded, time.monotonic() - begun_s)

    def click_until(self, *, recorded: bool) -> Answer:
        """Give the first answer that says so: a full disk may still have room for one click, a busy one no time."""
        answers: list[Answer] = []

        def answered() -> bool:
            answers.append(self.click())
            return answers[-1].recorded is recorded

        wait_for(answered, SOON_S_MAX, f"an answer with {recorded=}")
        return answers[-1]

    def set_clock(self, ahead_s: float) -> None:
        self.clock_s = ahead_s
        self.shim.set_clock(ahead_s)

    def ready(self) -> bool:
        """Tell whether both workers take clicks; one that still starts is waited for."""
        url = self.system.click_url + "/-/readyz"
        return all(httpx.get(url, timeout=ANSWER_S, trust_env=False).is_success for _ in range(PROBES))

    def await_not_ready(self) -> None:
        wait_for(lambda: not self.ready(), SOON_S_MAX, "the edge says that it takes no clicks")

    def await_hits(self, fault: Fault, number: int) -> None:
        wait_for(lambda: fault.hits >= number, SOON_S_MAX, "the fault has hit")

    def await_ready(self) -> None:
        wait_for(self.ready, SOON_S_MAX, "the edge takes clicks again")

    def await_current(self) -> None:
        """Wait until what was clicked up to now is counted, and archived."""
        now_s = self.now_s()
        self._await_counted(now_s)
        wait_for(lambda: self.archived_s() > now_s, CURRENT_S_MAX, "the archive is current")

    def _await_counted(self, until_s: float) -> None:
        wait_for(lambda: as_of_s(self.system) > until_s, CURRENT_S_MAX, "the live count is current")

    def archived_s(self) -> float:
        """Give up to when everything is in the lake, in epoch seconds."""
        archive = self.system.api("/v1/status")["archiver"]
        return self.now_s() - archive["lag_ms"] / 1000 if archive else 0.0

    def now_s(self) -> float:
        return time.time() + self.clock_s

    def restarts(self) -> int:
        return sum(self.system.run_info()["restarts"].values())

    def compare(self, status: str = "", *, at_most: bool = False, by_ad: bool = False) -> Comparison:
        """Fail if a click was lost, doubled or counted wrongly."""
        if not (status or at_most):
            # A batch whose clicks were sent on unrecorded may still come to the log: then it stands before this time.
            self._await_counted(self.now_s())
        return compare_with_log(self.system, self.truths, ADS, status, at_most=at_most, by_ad=by_ad)
