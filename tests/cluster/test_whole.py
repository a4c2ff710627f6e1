"""Every role and every server of a whole cluster is killed under load: nothing is lost, nothing is doubled."""

import random
import time
from collections.abc import Callable

import httpx
import pytest
from deploy.local.cluster import Cluster
from deploy.local.role import Role

from adtally.cli.verify import table
from support.embedded import wait_for
from support.metric_tables import exposed
from support.metric_tables import table as table_of_metrics
from support.whole import CURRENT_S_MAX, WAIT_S_MAX, Row, Whole, frozen, killed, line

pytestmark = pytest.mark.servers

RATE = 400.0
BLOWS_S = 240.0
"""Where parts recover slowly, later ones are watched for a shorter time; blows may fall on what still recovers."""
Blow = tuple[str, str, Callable[[], None]]
"""The part, what is done to it, and the doing."""


def test_no_click_is_lost_and_none_is_doubled_whatever_part_is_killed(whole: Whole, seed: int) -> None:
    rnd = random.Random(seed)
    whole.add_ads("kill")
    blows = every_blow(whole.cluster)
    rnd.shuffle(blows)
    rows: list[Row] = []
    with whole.traffic("kills.truth", seed, RATE) as traffic:
        end_s = time.monotonic() + BLOWS_S
        for left, (part, did, strike) in zip(range(len(blows), 0, -1), blows, strict=True):
            time.sleep(rnd.uniform(0.2, 1.5))
            watch_s = max(0.0, min(CURRENT_S_MAX, 2 * (end_s - time.monotonic()) / left))
            rows.append(whole.blow(traffic, part, did, strike, watch_s))
        traffic.goes_on()
        report = traffic.report()
    result = whole.verified()
    print(f"seed {seed}, {report.achieved_rate:.0f}/s for {report.seconds:.0f} s", *map(line, rows), sep="\n")
    print(table(result))
    print(f"{result.acknowledged / report.sent:.1%} of the clicks were promised to be kept")
    assert result.agrees


def every_blow(cluster: Cluster) -> list[Blow]:
    """Give what is done to the cluster's parts."""
    flink, (first, second, third) = cluster.flink, cluster.kafka.brokers
    assert flink is not None
    assert cluster.loader is not None
    roles = [
        cluster.edges[0], cluster.stream, cluster.loader, cluster.archiver, cluster.reconciler, cluster.apis[0],
    ]  # fmt: skip
    servers = [
        *flink.parts, first, *cluster.clickhouse, cluster.s3, cluster.postgres, cluster.valkey, cluster.haproxy,
    ]  # fmt: skip
    kills: list[Blow] = [(part.name, "killed", killed(part)) for part in (*roles, *servers)]

    def two_brokers_away() -> None:
        second.kill()
        third.kill()
        time.sleep(5)
        second.launch()
        third.start()
        second.wait_ready()

    freezes: list[Blow] = [
        (part.name, f"frozen {seconds} s", frozen(part, seconds))
        for part, seconds in (
            (cluster.edges[1], 3),
            (second, 5),
            (cluster.clickhouse[0], 4),
            (flink.task_managers[0], 10),
        )
    ]
    return [*kills, ("two brokers", "killed, 5 s", two_brokers_away), *freezes]


def test_every_role_shows_metrics_that_the_operators_page_tells_of(whole: Whole) -> None:
    cluster = whole.cluster
    assert cluster.loader is not None
    told = table_of_metrics("metrics").keys()
    for role in cluster.roles():
        reads = role.role not in ("edge", "serve")
        wait_shown(role, "adtally_reader_lag_seconds" if reads else "adtally_disk_free_bytes")
        shown = exposed(metrics_of(role))
        assert "adtally_disk_free_bytes" in shown, role.name
        assert shown.keys() <= told, role.name
        assert ("adtally_reader_lag_seconds" in shown) == reads, role.name
    wait_shown(cluster.archiver, "adtally_archiver_oldest_unarchived_seconds")
    wait_shown(cluster.loader, 'adtally_reader_lag_seconds{reader="loader"}')


def wait_shown(role: Role, what: str) -> None:
    """Wait until a role shows a metric: one that has just started does not know all of them yet."""
    wait_for(lambda: what in metrics_of(role), WAIT_S_MAX, f"{role.name} shows {what}")


def metrics_of(role: Role) -> str:
    answer = httpx.get(f"http://127.0.0.1:{role.metrics_port}/-/metrics", timeout=30, trust_env=False)
    return answer.raise_for_status().text
