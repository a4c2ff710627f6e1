"""The stream role where Flink counts: looks after the job, and loads its rows."""

import threading
from collections.abc import Callable
from typing import Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.errors import LogError, PositionGoneError
from adtally.eventlog.port import LogReader
from adtally.stream.flink.job import JobSettings
from adtally.stream.flink.topics import JobTopics, LiveTopic, make_live_topic
from adtally.stream.flink.watch import JobWatch
from adtally.stream.heard import Listener
from adtally.stream.job_as_of import AsOf
from adtally.stream.loader import LiveWriter, Loader
from adtally.stream.port import StreamReport
from adtally.telemetry import log

BEAT_S: Final = 1.0
WAIT_S: Final = 0.1


def job_settings(config: Config) -> JobSettings:
    """Give what the configuration says of the job."""
    stream = config.stream
    return JobSettings(
        config.log.brokers, config.log.topic, stream.dedup_window_ms, stream.lateness_ms, stream.flush_ms,
        stream.flink_checkpoints, stream.flink_checkpoint_ms, stream.flink_state, stream.flink_parallelism,
    )  # fmt: skip


def run_flink_watch(
    config: Config, stop: threading.Event, on_ready: Callable[[], None], on_beat: Callable[[], None]
) -> None:
    """Submit the job and look after it until `stop` is set; the job goes on. The topic of clicks must be there.

    Raises ConfigError, and LogError if Kafka does not answer at the start.
    """
    settings = job_settings(config)
    make_live_topic(settings.brokers, settings.live_topic, config.log.replicas)
    topics = JobTopics(settings.brokers, settings.topic, settings.live_topic, settings.group)

    def wait() -> None:
        on_beat()
        stop.wait(WAIT_S)

    watch = JobWatch(config.stream.flink_url, settings, topics, wait, replay=config.stream.flink_restart == "replay")
    on_ready()
    while not stop.is_set():
        watch.step(SYSTEM_CLOCK.now_ms())
        on_beat()
        stop.wait(BEAT_S)
    topics.close()


def run_flink_loader(
    config: Config,
    store: LiveWriter,
    controls: LogReader,
    report: Callable[[StreamReport], None],
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
) -> None:
    """Load the job's rows into the store until `stop` is set; each second `report` is told how far it came.

    `controls` gives the control records of edges. Raises PositionGoneError, and LogError if Kafka does not answer at
    the start.
    """
    settings = job_settings(config)
    make_live_topic(settings.brokers, settings.live_topic, config.log.replicas)
    messages = LiveTopic(settings.brokers, settings.live_topic, "loader")
    topics = JobTopics(settings.brokers, settings.topic, settings.live_topic, settings.group)
    loader = Loader(messages, store, AsOf(messages, topics, Listener(controls), settings.lateness_ms))
    poll_s, beaten_s = config.stream.poll_ms / 1_000, 0.0
    on_ready()
    while not stop.is_set():
        if _step(loader) == 0:
            stop.wait(poll_s)
        if SYSTEM_CLOCK.monotonic_s() - beaten_s >= BEAT_S:
            beaten_s = SYSTEM_CLOCK.monotonic_s()
            report(loader.report(SYSTEM_CLOCK.now_ms()))
            on_beat()
    loader.finish(SYSTEM_CLOCK.now_ms())
    messages.close()
    topics.close()


def _step(loader: Loader) -> int:
    try:
        return loader.step(SYSTEM_CLOCK.now_ms())
    except PositionGoneError:
        raise
    except LogError as error:
        log.error("live rows cannot be read now", error=str(error))
        return 0
