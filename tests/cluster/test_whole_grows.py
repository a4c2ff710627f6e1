"""A whole cluster grows while it runs: an edge, a task manager, a partition."""

import subprocess

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from deploy.local.cluster import TOPIC

from adtally.cli.verify import table
from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS
from support.embedded import ADTALLY, wait_for
from support.whole import Traffic, Whole, killed

pytestmark = pytest.mark.servers

RATE = 300.0
MORE = 200
"""So many recorded clicks are more than were in flight."""
GOES_ON_S = 60.0


def goes_on(traffic: Traffic) -> None:
    """Wait until more clicks are recorded."""
    recorded = traffic.report().recorded
    wait_for(lambda: traffic.report().recorded > recorded + MORE, GOES_ON_S, "clicks are recorded")


def test_an_edge_and_a_task_manager_that_join_take_over_the_work_of_others(whole: Whole, seed: int) -> None:
    cluster = whole.cluster
    assert cluster.flink is not None
    whole.add_ads("join")
    with whole.traffic("join.truth", seed, RATE) as traffic:
        cluster.edges[2].start()
        goes_on(traffic)
        for old in cluster.edges[:2]:
            old.stop()
        goes_on(traffic)
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
        goes_on(before)
    settings: dict[str, str | int | float | bool] = {
        "bootstrap.servers": ",".join(cluster.kafka.addresses),
        "group.id": "test",
    }
    added = cluster.plan.partitions
    admin = AdminClient(settings)
    admin.create_partitions([NewPartitions(TOPIC, added + 1)])[TOPIC].result(20)
    for edge in cluster.edges:
        if edge.alive:
            edge.stop()
            edge.start()
    whole.add_ads("after")
    with whole.traffic("after.truth", seed + 1, RATE) as after:
        goes_on(after)
        goes_on(after)
    consumer = Consumer({**settings, "group.id": "test"})
    _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, added), timeout=10)
    consumer.close()
    assert end > 0
    result = whole.verified()
    print(table(result))
    assert result.agrees
    live_counted_anew(whole)
    again = whole.verified()
    print(table(again))
    assert again == result


def live_counted_anew(whole: Whole) -> None:
    """Do what an operator does after rules or partitions have changed; the live table is empty in between."""
    cluster = whole.cluster
    assert cluster.loader is not None
    cluster.loader.stop()
    cluster.stream.stop()
    place = ["--data-dir", str(cluster.stream.data_folder), "--config", str(cluster.config)]
    subprocess.run([*ADTALLY, "rebuild", "--yes", *place], check=True)
    assert whole.received(SYSTEM_CLOCK.now_ms() - 10 * MINUTE_MS) == 0
    cluster.stream.start()
    cluster.loader.start()
