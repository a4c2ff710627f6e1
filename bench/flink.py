"""The stream on Flink: clicks a second and CPU time of a job in one slot, and what state and checkpoints cost it."""

import json
import urllib.request
from typing import Final

import msgspec

from bench.flink_job import NEVER_MS, BenchJob, Servers, State, servers
from bench.processes import cpu_s
from bench.results import Row, middle, rates
from bench.topic_clicks import Fresh, produce

EACH_MS: Final = 10_000
KINDS: Final[tuple[tuple[State, int], ...]] = (("hashmap", NEVER_MS), ("hashmap", EACH_MS), ("rocksdb", EACH_MS))
WARM_UP: Final = 150_000


class Counted(msgspec.Struct, frozen=True):
    """The second half of one run."""

    rate: float
    cpu_s: float
    """Of the task manager for a million clicks."""
    checkpoint_bytes: int
    checkpoint_ms: int
    """Of the largest checkpoint that was made; 0 where none was."""


def measure(quick: bool) -> list[Row]:
    """Give a row for each kind of state, in turn, in one JVM that has run each kind before."""
    number, turns = (400_000, 1) if quick else (2_000_000, 3)
    found: dict[tuple[State, int], list[Counted]] = {kind: [] for kind in KINDS}
    with servers() as on:
        for kind in KINDS[1:]:
            _count(on, f"warm-{kind[0]}", kind, WARM_UP)
        for turn in range(turns):
            for place, kind in enumerate(KINDS):
                found[kind].append(_count(on, f"clicks-{turn}-{place}", kind, number))
    return [_row(kind, number, runs) for kind, runs in found.items()]


def _row(kind: tuple[State, int], number: int, runs: list[Counted]) -> Row:
    state, checkpoint_ms = kind
    often = "no checkpoints" if checkpoint_ms == NEVER_MS else f"a checkpoint each {checkpoint_ms // 1_000} s"
    largest = max(runs, key=lambda run: run.checkpoint_bytes)
    made = "" if not largest.checkpoint_bytes else (
        f"; the largest checkpoint {largest.checkpoint_bytes / 1e6:,.0f} MB in {largest.checkpoint_ms / 1e3:.1f} s"
    )  # fmt: skip
    return Row(
        "flink",
        f"Flink, one slot, {number:,} clicks, the second half of them: {state}, {often}",
        f"{middle([run.rate for run in runs]):,.0f}/s, "
        f"{middle([run.cpu_s for run in runs]):.1f} CPU s of the task manager a million{made}",
        f"{rates([run.rate for run in runs])}; CPU s {', '.join(f'{run.cpu_s:.1f}' for run in runs)}",
    )


def _count(on: Servers, topic: str, kind: tuple[State, int], number: int) -> Counted:
    produce(on.kafka.addresses, topic, Fresh(number))
    job = BenchJob(on, topic, *kind)
    half_s = job.until(number // 2)
    half_cpu_s, first = cpu_s([on.task_manager]), job.counted
    end_s = job.until(number)
    used_s = cpu_s([on.task_manager]) - half_cpu_s
    clicks = number - first
    size, took_ms = _largest_checkpoint(on, topic, job)
    job.close()
    return Counted(clicks / (end_s - half_s), used_s * 1e6 / clicks, size, took_ms)


def _largest_checkpoint(on: Servers, topic: str, job: BenchJob) -> tuple[int, int]:
    """Give bytes and milliseconds."""
    (running, *_) = job.manager.jobs(topic)
    with urllib.request.urlopen(f"http://127.0.0.1:{on.flink.rest_port}/jobs/{running.jid}/checkpoints") as answer:
        history = json.load(answer)["history"]
    made = [(each["state_size"], each["end_to_end_duration"]) for each in history if each["status"] == "COMPLETED"]
    return max(made, default=(0, 0))
