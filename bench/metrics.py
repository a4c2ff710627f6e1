"""The API over months of data: /metrics of one ad, the top ads, the page; idle, and beside clicks that come in."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS
from adtally.serve.values import rfc3339
from adtally.traffic.load import LoadReport
from adtally.utc import DAY_MS, HOUR_MS
from bench.asking import Asked, Question, ask
from bench.metrics_data import ADVERTISERS, DAYS, QUICK, WHOLE, Made, ad_id, clicks_of_hot, make, root_of
from bench.page_load import described, page_loads
from bench.results import Row
from bench.system import System, running

RATE = 10_000
CLIENTS = (1, 32)
KEPT_QUESTIONS = 50
FOREVER_S = 1e9
FIRST_PASS_S_MAX = 120.0

Ranges = Callable[[Made, random.Random], tuple[int, int]]


class Shape(msgspec.Struct, frozen=True):
    """A kind of question about one ad, and what the design wants of its p99 with one client."""

    name: str
    granularity: str
    range_ms: Ranges
    must: str
    aim: str


def _hour(made: Made, draw: random.Random) -> tuple[int, int]:
    start_ms = made.day_ms + draw.randrange(23 * 60) * MINUTE_MS
    return start_ms, start_ms + HOUR_MS


def _day(made: Made, draw: random.Random) -> tuple[int, int]:
    return made.day_ms + draw.randrange(30) * MINUTE_MS, made.day_ms + DAY_MS


def _month(made: Made, _: random.Random) -> tuple[int, int]:
    return made.day_ms - (DAYS - 1) * DAY_MS, made.day_ms + DAY_MS


SHAPES: Final = (
    Shape("an hour of minutes", "minute", _hour, "25 ms", "8 ms"),
    Shape("a day of minutes", "minute", _day, "60 ms", "15 ms"),
    Shape("30 days", "day", _month, "25 ms", "8 ms"),
)


class Measured(msgspec.Struct, frozen=True):
    """A row to be, measured once without and once with clicks coming in."""

    what: str
    seen: str
    must: str
    aim: str


def measure(quick: bool, folder: str | None = None) -> list[Row]:
    """Make the data, unless `folder` has it from before, start the system on it, and ask."""
    with TemporaryDirectory(prefix="adtally-bench-") as name:
        root = root_of(folder, Path(name) / "data")
        made = make(root, QUICK if quick else WHOLE)
        seconds = 1.0 if quick else 2.0
        with running(root) as system:
            key = root.admin_key.read_text(encoding="ascii").strip()
            _wait_for_first_pass(system)
            _check(system, made)
            idle = list(_questions(system, key, made, seconds, seed=1))
            page = _page(system, key)
            command = [str(Path(sys.executable).with_name("adtally")), "load", "--data-dir", str(root.root), "--json"]
            command += ["--ad-prefix", "ad_00", "--ads", str(made.size.hot_ads), "--rate", str(RATE)]
            load = subprocess.Popen([*command, "--seconds", str(26 * seconds)], stdout=subprocess.PIPE)
            try:
                busy = list(_questions(system, key, made, seconds, seed=2))
            finally:
                told = load.communicate()[0]
            _check(system, made)
        report = msgspec.json.decode(told, type=LoadReport)
    where = f"{made.size.minute_rows:,} rows of final minutes, {made.size.ads:,} ads"
    beside = {one.what: one.seen for one in busy}
    rows = [
        Row(
            "metrics",
            one.what,
            one.seen,
            f"beside clicks: {beside[one.what]}" if one.what in beside else "",
            one.must,
            one.aim,
        )
        for one in idle
    ]
    clicks = f"{report.achieved_rate:,.0f}/s, p50 {report.latency.p50_ms:.0f} ms, p99 {report.latency.p99_ms:.0f} ms"
    return [*rows, page, Row("metrics", f"the clicks that came in beside the above ({where})", clicks, "")]


def _questions(system: System, key: str, made: Made, seconds: float, seed: int) -> Iterator[Measured]:
    draw = random.Random(seed)
    for shape in SHAPES:
        new = _about_ads(made, shape, draw)
        # The first questions of a fresh process open files and caches.
        ask(system, key, new, 1, seconds / 3)
        found = [ask(system, key, new, clients, seconds) for clients in CLIENTS]
        yield Measured(f"`/metrics` of one ad, {shape.name}: uncached", _said(found), shape.must, shape.aim)
        same = list(islice(new, KEPT_QUESTIONS))
        ask(system, key, iter(same), 1, FOREVER_S)
        found = [ask(system, key, cycle(same), clients, seconds) for clients in CLIENTS]
        yield Measured(f"`/metrics` of one ad, {shape.name}: cached", _said(found), "5 ms", "1 ms")
    day = {"start": rfc3339(made.day_ms), "end": rfc3339(made.day_ms + DAY_MS)}
    advertisers = draw.sample(range(ADVERTISERS), ADVERTISERS)
    of_one = (("/v1/top", {**day, "advertiser_id": f"adv_{number:04}"}) for number in advertisers)
    yield Measured(
        "top 10 ads of a day, of one advertiser", str(ask(system, key, of_one, 1, seconds)), "50 ms", "10 ms"
    )
    # Each limit is another question; what is sorted is the same.
    of_all = (("/v1/top", {**day, "limit": str(10 + number + 100 * seed)}) for number in range(100))
    yield Measured("top 10 ads of a day, of all", str(ask(system, key, of_all, 1, seconds)), "2 s", "200 ms")


def _wait_for_first_pass(system: System) -> None:
    """Return when the reconciler has looked through all that the store holds, which a start begins with."""
    deadline_s = SYSTEM_CLOCK.monotonic_s() + FIRST_PASS_S_MAX
    while not (system.api.get("/v1/status")["reconciler"] or {}).get("last_pass"):
        if SYSTEM_CLOCK.monotonic_s() > deadline_s:
            raise SystemExit(f"the reconciler made no pass within {FIRST_PASS_S_MAX:g} s")
        time.sleep(0.2)


def _check(system: System, made: Made) -> None:
    """Raise SystemExit if the first ad's clicks are not all there: an empty table answers fast."""
    span = {"start": rfc3339(made.day_ms), "end": rfc3339(made.day_ms + DAY_MS)}
    found = system.api.get("/metrics", ad_id=ad_id(1), granularity="minute", **span)["totals"]["clicks"]
    if found != (wanted := 24 * 60 * 3 * clicks_of_hot(1)):
        raise SystemExit(f"{ad_id(1)} has {found:,} clicks instead of {wanted:,}: is the store still being made?")


def _page(system: System, key: str) -> Row:
    seen, runs = described(*page_loads(system, key, "?range=30d&zone=UTC&advertiser=adv_0001"))
    return Row("metrics", "the page in Chromium, 30 days of an advertiser with 1,000 ads", seen, runs, "", "1 s")


def _said(found: list[Asked]) -> str:
    return "; ".join(
        f"{clients} client{'s' if clients > 1 else ''}: {one}" for clients, one in zip(CLIENTS, found, strict=True)
    )


def _about_ads(made: Made, shape: Shape, draw: random.Random) -> Iterator[Question]:
    """Give questions without end of which hardly any comes twice: hot ads and others in turn."""
    hot = draw.sample(range(1, made.size.hot_ads + 1), made.size.hot_ads)
    for number in cycle(hot):
        for chosen in (number, draw.randrange(made.size.hot_ads, made.size.ads) + 1):
            start_ms, end_ms = shape.range_ms(made, draw)
            span = {"start": rfc3339(start_ms), "end": rfc3339(end_ms), "granularity": shape.granularity}
            yield "/metrics", {"ad_id": ad_id(chosen), **span}
