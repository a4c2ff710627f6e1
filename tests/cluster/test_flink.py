"""The stream on a real Flink and a real Kafka, held to the rule of partitions that are read in their own order."""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deploy.local.flink import Flink

from adtally.stream.flink.gateway import JobManager
from adtally.stream.flink.job import JobSettings
from adtally.stream.flink.topics import JobTopics, LiveTopic, make_live_topic
from adtally.stream.flink.watch import JobWatch
from adtally.stream.loader import Loader
from support.counts import MemoryLive
from support.flink_clicks import Clicks, clicks
from support.one_broker import OneBroker
from support.servers import Servers

pytestmark = pytest.mark.servers

WINDOW_MS = 60_000
LATENESS_MS = 120_000
NUMBERS = itertools.count()


class Store:
    """What the loader writes to."""

    def __init__(self) -> None:
        self.live = MemoryLive()

    def append_live(self, rows: object) -> None:
        self.live.append(rows)  # type: ignore[arg-type]


class Running:
    """A topic, its job under watch, and a loader into memory."""

    def __init__(self, broker: OneBroker, flink: Flink, checkpoints: Path, state: str) -> None:
        topic = f"clicks-{next(NUMBERS)}"
        self.flink = flink
        self.clicks = Clicks(broker.brokers, topic)
        self.settings = JobSettings(
            broker.brokers, topic, WINDOW_MS, LATENESS_MS,
            checkpoints=checkpoints.as_uri(), checkpoint_ms=1_000, state=state,  # type: ignore[arg-type]
        )  # fmt: skip
        make_live_topic(broker.brokers, self.settings.live_topic, 1)
        self.topics = JobTopics(broker.brokers, topic, self.settings.live_topic, self.settings.group)
        self.store = Store()
        self.messages = LiveTopic(broker.brokers, self.settings.live_topic, "loader")
        self.loader = Loader(self.messages, self.store, self.topics)
        self.watch = JobWatch(flink.url, self.settings, self.topics)
        self.manager = JobManager(f"http://127.0.0.1:{flink.rest_port}")

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        deadline_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline_s, "did not come in time"
            self.watch.step(now_ms())
            if self.loader.step(now_ms()) == 0:
                time.sleep(0.02)

    def until_as_of(self, ms: int) -> None:
        """Return when everything that was appended so far is in the store, as the loader says."""
        self.until(lambda: self.loader.report(0).as_of_ms >= ms)

    def checkpoints(self) -> str:
        (job, *_) = self.manager.jobs(self.settings.topic)
        completed = self.manager.completed(job.jid)
        return "" if completed is None else completed.external_path

    def close(self) -> None:
        self.watch.cancel()
        self.messages.close()
        self.topics.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def running(servers: Servers, tmp_path: Path) -> Iterator[Running]:
    stream = Running(servers.running(OneBroker), servers.running(Flink), tmp_path / "checkpoints", "hashmap")
    yield stream
    stream.close()


def test_every_cell_and_its_users_are_what_the_rule_says(running: Running, seed: int) -> None:
    rng = random.Random(seed)
    running.clicks.produce(clicks(rng, now_ms(), 1_500, "edge-a"))
    running.until(lambda: running.watch.running)
    running.clicks.produce_raw(b"no json", 0)
    running.clicks.produce_raw(b'{"ad_id":"ad_1","ts_ms":null}', 1)
    running.clicks.produce(clicks(rng, now_ms(), 1_500, "edge-b"))
    running.until_as_of(now_ms())
    assert running.store.live.counts() == running.clicks.expected(WINDOW_MS, LATENESS_MS)
