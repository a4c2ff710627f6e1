"""From a click's 302 to its appearance in `/metrics`, under steady traffic on other ads."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS, minute_of
from adtally.serve.values import rfc3339
from adtally.traffic.agents import PEOPLE
from adtally.traffic.histogram import Histogram
from bench.results import Row
from bench.system import System, whole_system

ADS = 10_000
RATE = 10_000
PROBE_EVERY_S = 0.25
POLL_S = 0.01
VISIBLE_S_MAX = 30.0
WARM_UP_S = 10.0
"""The first rows of a fresh store take seconds; what follows is what lasts."""


def measure(quick: bool) -> list[Row]:
    """Click on an ad of its own again and again, and poll until the number has moved."""
    seconds = 10.0 if quick else 60.0
    with TemporaryDirectory(prefix="adtally-bench-") as name:
        root = Path(name) / "data"
        # The last ad is the probe's; the background stays on those before it.
        with whole_system(root, ADS + 1) as (system, ad_ids):
            command = [str(Path(sys.executable).with_name("adtally")), "load", "--data-dir", str(root), "--json"]
            command += ["--ads", str(ADS), "--rate", str(RATE), "--seconds", str(WARM_UP_S + seconds + 1)]
            background = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            try:
                time.sleep(WARM_UP_S)
                delays, probes = _probe(system, ad_ids[-1], seconds)
            finally:
                background.wait()
    found = delays.latencies()
    return [
        Row(
            "visible",
            f"click to visible in `/metrics`, p99 at {RATE:,}/s",
            f"{found.p99_ms:,.0f} ms",
            f"{probes} clicks: p50 {found.p50_ms:,.0f} ms, max {found.max_ms:,.0f} ms",
            "2 s",
            "1 s",
        )
    ]


def _probe(system: System, ad_id: str, seconds: float) -> tuple[Histogram, int]:
    """Give the delays of the probe's clicks, and how many there were."""
    host, port = system.click_address
    # httpx's own user agent is a known crawler's.
    clicks = httpx.Client(
        base_url=f"http://{host}:{port}", trust_env=False, headers={"User-Agent": PEOPLE[0][0]}, timeout=30.0
    )
    answered_s: list[float] = []
    delays = Histogram()
    begin_ms = minute_of(SYSTEM_CLOCK.now_ms())
    stop = threading.Event()

    def watch() -> None:
        seen = 0
        while not (stop.is_set() and seen == len(answered_s)):
            clicks_now = _clicks(system, ad_id, begin_ms)
            now_s = SYSTEM_CLOCK.monotonic_s()
            # A click may be seen before its answer was: then it took no time.
            for place in range(seen, min(clicks_now, len(answered_s))):
                delays.add(int((now_s - answered_s[place]) * 1_000_000))
                seen += 1
            time.sleep(POLL_S)
            if stop.is_set() and answered_s and now_s - answered_s[-1] > VISIBLE_S_MAX:
                raise SystemExit(f"{len(answered_s) - seen} probe clicks did not become visible in {VISIBLE_S_MAX:g} s")

    with clicks, ThreadPoolExecutor(1) as beside:
        watched = beside.submit(watch)
        ends_s = SYSTEM_CLOCK.monotonic_s() + seconds
        while SYSTEM_CLOCK.monotonic_s() < ends_s and not watched.done():
            answer = clicks.get("/click", params={"ad_id": ad_id, "user_id": f"probe{len(answered_s)}"})
            if answer.status_code != httpx.codes.FOUND:
                stop.set()
                raise SystemExit(f"a probe click was answered with {answer.status_code}")
            answered_s.append(SYSTEM_CLOCK.monotonic_s())
            time.sleep(PROBE_EVERY_S)
        stop.set()
        watched.result()
    return delays, len(answered_s)


def _clicks(system: System, ad_id: str, begin_ms: int) -> int:
    end_ms = minute_of(SYSTEM_CLOCK.now_ms()) + MINUTE_MS
    answer = system.api.get("/metrics", ad_id=ad_id, start=rfc3339(begin_ms), end=rfc3339(end_ms), granularity="minute")
    return sum(point["clicks"] for point in answer["metrics"])
