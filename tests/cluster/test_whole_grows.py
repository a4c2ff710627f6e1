"""A whole cluster grows while it runs: an edge, a task manager, a partition."""

import contextlib
import subprocess

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from deploy.local.cluster import TOPIC
from deploy.local.kafka import Broker

from adtally.cli.verify import table
from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS
from adtally.traffic.verify import Verification
from support.embedded import ADTALLY, wait_for
from support.whole import WAIT_S_MAX, Whole, killed

pytestmark = pytest.mark.servers

RATE = 300.0


def test_an_edge_and_a_task_manager_that_join_take_over_the_work_of_others(whole: Whole, seed: int) -> None:
    cluster = whole.cluster
    assert cluster.flink is not None
    whole.add_ads("join")
    with whole.traffic("join.truth", seed, RATE) as traffic:
        cluster.edges[2].start()
        traffic.goes_on()
        for old in cluster.edges[:2]:
            old.stop()
        traffic.goes_on()
        for old in cluster.edges[:2]:
            old.start()
        joined = cluster.flink.add_task_manager()
        joined.start()
        leaves = cluster.flink.task_managers[0]
        whole.blow(traffic, leaves.name, "left", leaves.kill)
        whole.blow(traffic, leaves.name, "came back", killed(leaves))
    result = whole.verified()
    print(table(result))
    assert result.agrees


def test_a_partition_that_was_added_is_written_and_counted(whole: Whole, seed: int) -> None:
    cluster = whole.cluster
    whole.add_ads("before")
    with whole.traffic("before.truth", seed, RATE) as before:
        before.goes_on()
    settings: dict[str, str | int | float | bool] = {
        "bootstrap.servers": ",".join(cluster.kafka.addresses),
        "group.id": "test",
    }
    added = cluster.plan.partitions
    admin = AdminClient(settings)
    admin.create_partitions([NewPartitions(TOPIC, added + 1)])[TOPIC].result(WAIT_S_MAX)
    for broker in cluster.kafka.brokers:
        wait_for(lambda: partitions_of(broker) == added + 1, WAIT_S_MAX, "each broker knows the partition")  # noqa: B023
    for edge in cluster.edges:
        if edge.alive:
            edge.stop()
            edge.start()
    whole.add_ads("after")
    with whole.traffic("after.truth", seed + 1, RATE) as after:
        after.goes_on()
        after.goes_on()
    consumer = Consumer({**settings, "group.id": "test"})
    place = TopicPartition(TOPIC, added)
    # Edges may have spooled the clicks first.
    wait_for(lambda: end_of(consumer, place) > 0, WAIT_S_MAX, "clicks are in the new partition")
    consumer.close()
    result = whole.verified()
    print(table(result))
    assert result.agrees
    live_counted_anew(whole)
    again = whole.verified()
    print(table(again))
    # Between the two the recount of an hour may have left out what the log holds again, which live is a duplicate.
    assert same(again) == same(result)


def same(result: Verification) -> Verification:
    """Give a comparison without what events say that the log holds again."""
    return msgspec.structs.replace(result, duplicate=None, invalid=None)


def partitions_of(broker: Broker) -> int:
    """Give how many partitions a broker says that the topic of clicks has; 0 where it does not answer."""
    client = AdminClient({"bootstrap.servers": broker.address})
    with contextlib.suppress(KafkaException):
        return len(client.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions)
    return 0


def end_of(consumer: Consumer, place: TopicPartition) -> int:
    """Give the offset that is written next; 0 where nobody tells."""
    with contextlib.suppress(KafkaException):
        return int(consumer.get_watermark_offsets(place, timeout=30)[1])
    return 0


def live_counted_anew(whole: Whole) -> None:
    """Do what an operator does after rules or partitions have changed; the live table is empty in between."""
    cluster = whole.cluster
    assert cluster.loader is not None
    cluster.loader.stop()
    cluster.stream.stop()
    place = ["--data-dir", str(cluster.stream.data_folder), "--config", str(cluster.config)]
    subprocess.run([*ADTALLY, "rebuild", "--yes", *place], check=True)
    # No hour is final before ten minutes have passed since its end.
    wait_for(lambda: whole.received(SYSTEM_CLOCK.now_ms() - 10 * MINUTE_MS) == 0, WAIT_S_MAX, "the live table is empty")
    cluster.stream.start()
    cluster.loader.start()
