"""Appends to three brokers, one after the other as an edge makes them, by how many clicks are in one."""

import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import msgspec
from deploy.local.kafka import Kafka

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import LogError
from adtally.eventlog.kafka.topics import TopicSettings
from adtally.eventlog.kafka.writer import KafkaLogWriter
from bench.processes import cpu_s
from bench.results import Row
from bench.topic_clicks import PARTITIONS, TIMEOUT_MS, Fresh, payloads

COUNTS: Final = (1, 5, 50, 500, 2_000)
TOPIC: Final = "clicks"


class Cost(msgspec.Struct, frozen=True):
    """What appends of one size took."""

    appends: int
    seconds: float
    brokers_s: float
    """CPU time of all brokers."""


def measure(quick: bool) -> list[Row]:
    """Give a row for each number of clicks."""
    seconds = 5.0 if quick else 15.0
    clicks = [payload for batch in payloads(Fresh(100_000)) for payload in batch]
    with tempfile.TemporaryDirectory(prefix="adtally-bench-") as name:
        kafka = Kafka(Path(name) / "kafka")
        try:
            kafka.start()
            writer = KafkaLogWriter(
                kafka.addresses, TOPIC, TopicSettings(PARTITIONS, len(kafka.brokers), 1), TIMEOUT_MS
            )
            writer.make_topics()
            _await_topic(writer, clicks[:1])
            for count in COUNTS:
                _append(kafka, writer, clicks, count, seconds)
            rows = [_row(count, _append(kafka, writer, clicks, count, seconds)) for count in COUNTS]
            writer.close(None, SYSTEM_CLOCK.now_ms())
        finally:
            kafka.kill()
    return rows


def _await_topic(writer: KafkaLogWriter, clicks: list[bytes]) -> None:
    """Return when the brokers take an append: a topic that was just made is not known to all of them."""
    deadline_s = SYSTEM_CLOCK.monotonic_s() + TIMEOUT_MS / 1_000
    while True:
        try:
            writer.append(clicks, SYSTEM_CLOCK.now_ms())
        except LogError:
            if SYSTEM_CLOCK.monotonic_s() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return


def _append(kafka: Kafka, writer: KafkaLogWriter, clicks: list[bytes], count: int, seconds: float) -> Cost:
    pids = [broker.pid for broker in kafka.brokers]
    source = cycle(clicks)
    began_s, used_s = SYSTEM_CLOCK.monotonic_s(), cpu_s(pids)
    appends = 0
    while (taken_s := SYSTEM_CLOCK.monotonic_s() - began_s) < seconds:
        writer.append(list(islice(source, count)), SYSTEM_CLOCK.now_ms())
        appends += 1
    return Cost(appends, taken_s, cpu_s(pids) - used_s)


def _row(count: int, cost: Cost) -> Row:
    return Row(
        "appends",
        f"an append of {count:,} clicks to {PARTITIONS} partitions on three brokers, replication 3",
        f"{cost.brokers_s * 1e3 / cost.appends:.2f} CPU ms of the brokers, "
        f"{cost.brokers_s * 1e6 / cost.appends / count:,.1f} us a click",
        f"{cost.appends / cost.seconds:,.0f} appends/s, {cost.appends * count / cost.seconds:,.0f} clicks/s",
    )
