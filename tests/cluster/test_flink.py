"""The stream on a real Flink and a real Kafka, held to the rule of partitions that are read in their own order."""

import itertools
import json
import random
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from deploy.local.flink import Flink
from deploy.local.kafka import Kafka1
from deploy.local.s3 import S3

from adtally.errors import FlinkError, LogError
from adtally.stream.flink.gateway import JobManager
from adtally.stream.flink.job import JobSettings
from adtally.stream.flink.topics import JobTopics, LiveTopic, make_live_topic
from adtally.stream.flink.watch import JobWatch
from adtally.stream.heard import Promise
from adtally.stream.job_as_of import AsOf
from adtally.stream.loader import Loader
from support.counts import MemoryLive
from support.flink_clicks import Clicks, clicks
from support.patience import until_it_answers
from support.s3 import fresh_url
from support.servers import Servers

pytestmark = pytest.mark.servers

WINDOW_MS = 60_000
LATENESS_MS = 120_000
NUMBERS = itertools.count()
WAIT_S_MAX = 300.0


class Store:
    """What the loader writes to."""

    def __init__(self) -> None:
        self.live = MemoryLive()

    def append_live(self, rows: object) -> None:
        self.live.append(rows)  # type: ignore[arg-type]


class Appended:
    """Promises that what lies behind is appended, as it is by a test that produces nothing meanwhile."""

    def listen(self, now_ms: int) -> Promise:
        return Promise(now_ms, now_ms, now_ms)

    def commit(self) -> None:
        pass


class Running:
    """A topic, its job under watch, and a loader into memory."""

    def __init__(self, broker: Kafka1, flink: Flink, checkpoints: str, state: str, checkpoint_ms: int) -> None:
        topic = f"clicks-{next(NUMBERS)}"
        self.flink = flink
        self.clicks = Clicks(broker.addresses, topic)
        self.settings = JobSettings(
            broker.addresses, topic, WINDOW_MS, LATENESS_MS,
            checkpoints=checkpoints, checkpoint_ms=checkpoint_ms, state=state, parallelism=2,  # type: ignore[arg-type]
        )  # fmt: skip
        make_live_topic(broker.addresses, self.settings.live_topic, 1)
        self.topics = JobTopics(broker.addresses, topic, self.settings.live_topic, self.settings.group)
        self.store = Store()
        self.messages = LiveTopic(broker.addresses, self.settings.live_topic, "loader")
        as_of = AsOf(self.messages, self.topics, Appended(), LATENESS_MS)
        self.loader = Loader(self.messages, self.store, as_of)
        self.watch = self._watch(replay=False)
        self.rest = f"http://127.0.0.1:{flink.rest_port}"
        self.manager = JobManager(self.rest)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + WAIT_S_MAX
        while True:
            # Brokers and Flink may not answer at any time; whoever runs these tries again.
            with suppress(LogError, FlinkError):
                if condition():
                    return
                self.watch.step(now_ms())
                if self.loader.step(now_ms()):
                    continue
            assert time.monotonic() < deadline_s, "did not come in time"
            time.sleep(0.02)

    def until_as_of(self, ms: int) -> None:
        """Return when everything that was appended so far is in the store, as the loader says."""
        self.until(lambda: self.loader.report(0).as_of_ms >= ms)

    def noted(self) -> bool:
        """Tell whether the watch has noted a checkpoint, from which a job that was forgotten can go on."""
        note = self.topics.recall()
        return note is not None and note.checkpoint != ""

    def jobs(self) -> list[str]:
        return [job.jid for job in self.manager.jobs(self.settings.topic)]

    def restored(self) -> bool:
        """Tell whether the newest job began with a checkpoint."""
        with urllib.request.urlopen(f"{self.rest}/jobs/{self.jobs()[0]}/checkpoints") as answer:
            return bool(json.load(answer)["counts"]["restored"])

    def replaying(self) -> None:
        """Watch from now on as one that restores no checkpoint."""
        self.watch = self._watch(replay=True)

    def _watch(self, *, replay: bool) -> JobWatch:
        return JobWatch(self.flink.url, self.settings, self.topics, lambda: time.sleep(0.05), replay=replay)

    def close(self) -> None:
        # A job that ends meanwhile is cancelled already.
        with suppress(FlinkError):
            self.watch.cancel()
        self.messages.close()
        self.topics.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def flink(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    """Give a Flink whose checkpoints lie in S3, as a cluster's do."""
    s3 = servers.running(S3)
    keys = {"s3.access-key": s3.access_key, "s3.secret-key": s3.secret_key}
    settings = {"s3.endpoint": s3.endpoint, "s3.path.style.access": "true", **keys}
    server = Flink(tmp_path_factory.mktemp("flink"), settings)
    yield server
    server.stop()


@pytest.fixture
def running(servers: Servers, flink: Flink, request: pytest.FixtureRequest) -> Iterator[Running]:
    state, checkpoint_ms = getattr(request, "param", ("hashmap", 1_000))
    if not flink.alive:
        flink.start()
    stream = Running(servers.running(Kafka1), flink, fresh_url(servers.running(S3)), state, checkpoint_ms)
    yield stream
    stream.close()


@pytest.mark.parametrize("running", [("hashmap", 1_000), ("rocksdb", 1_000)], indirect=True)
def test_every_cell_and_its_users_are_what_the_rule_says(running: Running, seed: int) -> None:
    rng = random.Random(seed)
    running.clicks.produce(clicks(rng, now_ms(), 1_500, "edge-a"))
    running.until(lambda: running.watch.running)
    running.clicks.produce_raw(b"no json", 0)
    running.clicks.produce_raw(b'{"ad_id":"ad_1","ts_ms":null}', 1)
    running.clicks.produce(clicks(rng, now_ms(), 1_500, "edge-b"))
    running.until_as_of(now_ms())
    assert running.store.live.counts() == running.clicks.expected(WINDOW_MS, LATENESS_MS)


def test_a_task_manager_that_is_killed_changes_no_number(running: Running, seed: int) -> None:
    rng = random.Random(seed)
    running.until(lambda: running.watch.running)
    running.clicks.produce(clicks(rng, now_ms(), 1_000, "edge-a"))
    running.until(running.noted)
    running.clicks.produce(clicks(rng, now_ms(), 1_000, "edge-b"))
    (task_manager,) = running.flink.task_managers
    task_manager.kill()
    running.clicks.produce(clicks(rng, now_ms(), 1_000, "edge-c"))
    task_manager.start()
    running.until_as_of(now_ms())
    assert running.store.live.counts() == running.clicks.expected(WINDOW_MS, LATENESS_MS)


def test_a_job_that_was_forgotten_goes_on_from_its_last_checkpoint(running: Running, seed: int) -> None:
    rng = random.Random(seed)
    running.until(lambda: running.watch.running)
    running.clicks.produce(clicks(rng, now_ms(), 1_500, "edge-a"))
    running.until_as_of(now_ms())
    running.until(running.noted)
    first = running.jobs()
    # The job manager knows its jobs only while it lives.
    running.flink.job_manager.kill()
    running.clicks.produce(clicks(rng, now_ms(), 1_500, "edge-b"))
    running.flink.job_manager.start()
    running.flink.task_managers[0].wait_ready()
    running.until_as_of(now_ms())
    assert running.jobs()[0] not in first
    assert running.restored()
    assert running.store.live.counts() == running.clicks.expected(WINDOW_MS, LATENESS_MS)


@pytest.mark.parametrize("running", [("hashmap", 1_000), ("hashmap", 10_000)], indirect=True)
def test_a_job_that_reads_again_from_a_time_repeats_the_same_totals(running: Running, seed: int) -> None:
    rng = random.Random(seed)
    running.until(lambda: running.watch.running)
    produced_ms = now_ms()
    running.clicks.produce(clicks(rng, now_ms(), 1_500, "edge-a"))
    running.until_as_of(now_ms())
    until_it_answers(running.watch.cancel, (FlinkError,))
    running.replaying()
    running.clicks.produce(clicks(rng, now_ms(), 1_500, "edge-b"))
    running.until_as_of(now_ms())
    assert len(running.jobs()) == 2
    assert not running.restored()
    assert running.watch.started is not None
    assert produced_ms - WINDOW_MS - 3 * LATENESS_MS < running.watch.started.appended_ms < produced_ms
    assert running.store.live.counts() == running.clicks.expected(WINDOW_MS, LATENESS_MS)
