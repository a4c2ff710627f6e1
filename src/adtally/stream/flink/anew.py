"""Ends the job for good, so that the next one counts anew."""

import time
from typing import Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.errors import FlinkError
from adtally.stream.flink.role import job_settings
from adtally.stream.flink.topics import JobTopics, LiveTopic, make_live_topic
from adtally.stream.flink.watch import JobWatch

ENDS_S_MAX: Final = 60.0
WAIT_S: Final = 0.1


def forget_job(config: Config) -> None:
    """End the job, forget where it was, and pass over the rows that it has written.

    The next job reads all that the topic of clicks holds. Only right while neither `adtally stream` nor
    `adtally loader` runs. Raises FlinkError if the job does not end, and LogError.
    """
    settings = job_settings(config)
    make_live_topic(settings.brokers, settings.live_topic, config.log.replicas)
    topics = JobTopics(settings.brokers, settings.topic, settings.live_topic, settings.group)
    watch = JobWatch(config.stream.flink_url, settings, topics, lambda: time.sleep(WAIT_S))
    watch.cancel()
    deadline_s = SYSTEM_CLOCK.monotonic_s() + ENDS_S_MAX
    while not watch.ended():
        if SYSTEM_CLOCK.monotonic_s() > deadline_s:
            raise FlinkError(f"the Flink job did not end within {ENDS_S_MAX:g} s: look at its job manager, and repeat")
        time.sleep(WAIT_S)
    topics.forget()
    topics.close()
    rows = LiveTopic(settings.brokers, settings.live_topic, "loader")
    rows.pass_over()
    rows.close()
