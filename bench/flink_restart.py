"""A job of Flink that starts again: from its checkpoint, and by reading again what open minutes need."""

from typing import Final

import msgspec

from adtally.clock import SYSTEM_CLOCK
from adtally.counting import AHEAD_MS, MINUTE_MS
from bench.flink import EACH_MS
from bench.flink_job import LATENESS_MS, BenchJob, Servers, State, servers
from bench.results import Row
from bench.topic_clicks import Fresh, produce

NEW: Final = 1_000
CASES: Final[tuple[tuple[State, int], ...]] = (
    ("hashmap", 5 * MINUTE_MS),
    ("hashmap", MINUTE_MS),
    ("rocksdb", 5 * MINUTE_MS),
)
"""State, and window."""
WARM_UP: Final = 50_000


class Restart(msgspec.Struct, frozen=True):
    """How long a new click was not visible, from the submission on, and what Flink's processes used until it was."""

    seconds: float
    cpu_s: float


def measure(quick: bool) -> list[Row]:
    """Give a row for each case and way; quick ones remember few clicks."""
    rate = 1_000 if quick else 4_000
    with servers() as on:
        _restarts(on, "warm", *CASES[0], WARM_UP)
        return [row for place, case in enumerate(CASES) for row in _rows(on, f"clicks-{place}", *case, rate)]


def _rows(on: Servers, topic: str, state: State, window_ms: int, rate: int) -> list[Row]:
    number = rate * replayed_s(window_ms)
    what = (
        f"Flink, one slot, {state}, window {window_ms // MINUTE_MS} min, {number:,} clicks (what a replay reads at "
        f"{rate:,}/s): new clicks visible after a start by"
    )
    ways = zip(("checkpoint", "replay"), _restarts(on, topic, state, window_ms, number), strict=True)
    return [
        Row("flink-restart", f"{what} {way}", f"{restart.seconds:.1f} s, {restart.cpu_s:.1f} CPU s", "")
        for way, restart in ways
    ]


def replayed_s(window_ms: int) -> int:
    """Give how much of the log a replay reads: job.py's `replay_start`, and half a minute for the open one."""
    return (LATENESS_MS + MINUTE_MS + window_ms + AHEAD_MS + MINUTE_MS // 2) // 1_000


def _restarts(on: Servers, topic: str, state: State, window_ms: int, number: int) -> tuple[Restart, Restart]:
    """Give one by checkpoint, and one by replay after it."""
    produce(on.kafka.addresses, topic, Fresh(number))
    job = BenchJob(on, topic, state, EACH_MS, window_ms)
    job.until(number)
    job.until_checkpoint()
    by_checkpoint = _restart(on, job, 1, replay=False)
    by_replay = _restart(on, job, 2, replay=True)
    job.close()
    return by_checkpoint, by_replay


def _restart(on: Servers, job: BenchJob, turn: int, *, replay: bool) -> Restart:
    job.cancel()
    produce(on.kafka.addresses, job.settings.topic, Fresh(NEW, only_ad=f"new_{turn}", seed=turn + 1))
    job.start(replay=replay)
    began_s, used_s = SYSTEM_CLOCK.monotonic_s(), on.flink_cpu_s()
    # What is read again only repeats totals: nothing but new clicks makes them more.
    ended_s = job.until(job.counted + NEW)
    started = job.watch.started
    if started is None or bool(started.checkpoint) == replay:
        raise SystemExit(f"the job was to start {'by reading again' if replay else 'from a checkpoint'}: {started}")
    return Restart(ended_s - began_s, on.flink_cpu_s() - used_s)
