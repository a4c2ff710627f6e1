"""An edge and its Kafka behind a network that delays, cuts and swallows: no acknowledged click is lost."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.local.kafka import Kafka1

from support.embedded import wait_for
from support.spool_edge import EdgeBeforeKafka, broken_promises, closing, first_appends, lost_numbers, seq_of
from support.tcp_proxy import MODES, TcpProxy

pytestmark = pytest.mark.servers

RATE = 200
PIECES = 20
WAIT_S_MAX = 300.0


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka1]:
    """Give a broker of its own, not yet started: it says where it is to be reached when it starts."""
    kafka = Kafka1(tmp_path / "kafka")
    yield kafka
    kafka.stop()


def test_clicks_that_reach_kafka_late_half_or_without_an_answer_are_in_the_log_in_the_end(
    kafka: Kafka1, tmp_path: Path, seed: int
) -> None:
    rnd, broker = random.Random(seed), kafka.brokers[0]
    with TcpProxy(broker.port, rnd) as proxy:
        broker.advertised_port = proxy.port
        kafka.start()
        edge = EdgeBeforeKafka(kafka, tmp_path)
        with edge.running(), edge.traffic(seed, RATE) as traffic:
            traffic.goes_on()
            for mode in rnd.sample(MODES, len(MODES)):
                proxy.set_mode(mode)
                if mode in ("silent", "deaf"):
                    wait_for(lambda: edge.now.spool_bytes > 0, WAIT_S_MAX, "clicks are spooled")
                else:
                    wait_for(lambda: proxy.pieces[mode] >= PIECES, WAIT_S_MAX, "the network misbehaves")  # noqa: B023
                proxy.set_mode("pass")
                wait_for(lambda: edge.now.spool_bytes == 0, WAIT_S_MAX, "the spool is drained")
                traffic.goes_on()
            report = traffic.report()
        events, controls = edge.log()
    firsts, lines = first_appends(events), edge.lines()
    there = {each.event.seq for each in firsts}
    print(
        f"sent {report.sent}, acknowledged {report.recorded}, not recorded {report.unrecorded}, "
        f"in the log {len(there)}, of these again {len(events) - len(there)}; {dict(proxy.pieces)}"
    )
    assert {seq_of(line) for line in lines if line.recorded} <= there
    assert there | lost_numbers(controls) == set(range(1, closing(controls).last_seq + 1))
    assert broken_promises(firsts, controls) == []
