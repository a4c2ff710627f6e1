"""A job of Flink over a topic of fresh clicks, and how far its totals have come."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec
from deploy.local.flink import MANAGED_MB, Flink
from deploy.local.kafka import Kafka1
from deploy.local.s3 import S3

from adtally.clock import SYSTEM_CLOCK
from adtally.stream.flink.gateway import JobManager
from adtally.stream.flink.job import JobSettings
from adtally.stream.flink.topics import JobTopics, LiveTopic, make_live_topic
from adtally.stream.flink.watch import JobWatch
from bench.processes import cpu_s

HEAP_MB: Final = 6_144
"""Room for what is remembered of some million clicks: what too little costs is told in decision 0019."""
LATENESS_MS: Final = 120_000
NEVER_MS: Final = 86_400_000
ROWS: Final = 20_000
PAUSE_S: Final = 0.02
DEADLINE_S: Final = 400.0

State = Literal["hashmap", "rocksdb"]


class _Row(msgspec.Struct, frozen=True, gc=False):
    campaign_id: str
    ad_id: str
    minute_s: int
    device: str
    outcome: str
    shard: int
    clicks: int


class Servers(msgspec.Struct, frozen=True):
    """What a job needs."""

    kafka: Kafka1
    flink: Flink
    s3: S3

    @property
    def task_manager(self) -> int | None:
        """Give the process id of the one that computes."""
        return self.flink.task_managers[0].pid

    def flink_cpu_s(self) -> float:
        """Give the CPU seconds of all processes of Flink."""
        return cpu_s(part.pid for part in self.flink.parts)


@contextmanager
def servers(managed_mb: int = MANAGED_MB) -> Iterator[Servers]:
    """Start a broker, a Flink with one task manager and an S3 for its checkpoints; they end with it."""
    with tempfile.TemporaryDirectory(prefix="adtally-bench-") as name:
        s3, kafka = S3(Path(name) / "s3"), Kafka1(Path(name) / "kafka")
        settings = {
            "s3.endpoint": s3.endpoint,
            "s3.access-key": s3.access_key,
            "s3.secret-key": s3.secret_key,
            "s3.path.style.access": "true",
        }
        every = (s3, kafka, Flink(Path(name) / "flink", settings, heap_mb=HEAP_MB, managed_mb=managed_mb))
        try:
            for server in every:
                server.launch()
            for server in every:
                server.wait_ready()
            yield Servers(kafka, every[2], s3)
        finally:
            for server in every:
                server.kill()


class BenchJob:
    """The job over one topic, looked after by its watch, and its totals as they come."""

    def __init__(
        self,
        on: Servers,
        topic: str,
        state: State,
        checkpoint_ms: int,
        dedup_window_ms: int = 300_000,
    ) -> None:
        self.settings = JobSettings(
            on.kafka.addresses, topic, dedup_window_ms, LATENESS_MS, checkpoints=f"s3://{on.s3.bucket}/{topic}",
            checkpoint_ms=checkpoint_ms, state=state, parallelism=1,
        )  # fmt: skip
        self._gateway_url = on.flink.url
        make_live_topic(on.kafka.addresses, self.settings.live_topic, 1)
        self._topics = JobTopics(on.kafka.addresses, topic, self.settings.live_topic, self.settings.group)
        self._rows = LiveTopic(on.kafka.addresses, self.settings.live_topic, "bench")
        self._cells: dict[tuple[str, str, int, str, str, int], int] = {}
        self._decode = msgspec.json.Decoder(_Row).decode
        self.manager = JobManager(f"http://127.0.0.1:{on.flink.rest_port}")
        self.counted = 0
        """Events in the totals that have come."""
        self.watch = self._watch(replay=False)

    def start(self, *, replay: bool) -> None:
        """Have the next job begin so; it is submitted by the first look."""
        self.watch = self._watch(replay=replay)

    def until(self, counted: int) -> float:
        """Look after the job until so many events are in its totals; give when, in seconds. Raises SystemExit."""
        deadline_s = SYSTEM_CLOCK.monotonic_s() + DEADLINE_S
        while self.counted < counted:
            self.watch.step(SYSTEM_CLOCK.now_ms())
            if self._take() == 0:
                time.sleep(PAUSE_S)
            if SYSTEM_CLOCK.monotonic_s() > deadline_s:
                raise SystemExit(f"{self.counted:,} of {counted:,} events were counted in {DEADLINE_S:g} s")
        return SYSTEM_CLOCK.monotonic_s()

    def until_checkpoint(self) -> None:
        """Return when a checkpoint is noted that was begun after this call. Raises SystemExit."""
        wanted_ms = SYSTEM_CLOCK.now_ms()
        deadline_s = SYSTEM_CLOCK.monotonic_s() + DEADLINE_S
        while (note := self._topics.recall()) is None or note.checkpoint_ms < wanted_ms:
            self.watch.step(SYSTEM_CLOCK.now_ms())
            time.sleep(PAUSE_S)
            if SYSTEM_CLOCK.monotonic_s() > deadline_s:
                raise SystemExit(f"no checkpoint was made in {DEADLINE_S:g} s")

    def cancel(self) -> None:
        """End the job, and return when it has ended."""
        self.watch.cancel()
        while not self.watch.ended():
            time.sleep(PAUSE_S)

    def close(self) -> None:
        """End the job, and let go of the broker."""
        self.cancel()
        self._rows.close()
        self._topics.close()

    def _take(self) -> int:
        payloads = self._rows.read(ROWS)
        for payload in payloads:
            row = self._decode(payload)
            cell = (row.campaign_id, row.ad_id, row.minute_s, row.device, row.outcome, row.shard)
            before = self._cells.get(cell, 0)
            if row.clicks > before:
                self._cells[cell] = row.clicks
                self.counted += row.clicks - before
        return len(payloads)

    def _watch(self, *, replay: bool) -> JobWatch:
        return JobWatch(self._gateway_url, self.settings, self._topics, lambda: time.sleep(0.1), replay=replay)
