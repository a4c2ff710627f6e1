"""What becomes of clicks while brokers of three are killed: none that was acknowledged is lost, none waits for them."""

import secrets
import threading
import time
from pathlib import Path

import pytest
from deploy.local.kafka import Kafka

from adtally.clock import SYSTEM_CLOCK
from adtally.event import Closing, Event, decode_control, decode_event_lines, encode_event
from adtally.eventlog.kafka.topics import TopicSettings
from adtally.eventlog.kafka.writer import KafkaLogWriter
from adtally.eventlog.port import CONTROLS, Record, is_shared
from adtally.eventlog.spool.writer import SpooledWriter
from support.kafka_logs import made_log, whole_log
from support.servers import Servers

pytestmark = pytest.mark.servers

PARTITIONS = 4
SPOOL_AFTER_MS = 400
BATCH = 20
RATE = 1_000
DRAINED_S_MAX = 300.0


@pytest.fixture
def kafka(servers: Servers) -> Kafka:
    return servers.running(Kafka)


@pytest.fixture
def topic() -> str:
    return f"test-{secrets.token_hex(4)}"


class Edge:
    """A worker's commit thread and the drainer beside it, without HTTP."""

    def __init__(self, kafka: Kafka, topic: str, spool: Path) -> None:
        settings = TopicSettings(PARTITIONS, 3, 7)
        self.edge_id = secrets.token_hex(8)
        if all(broker.alive for broker in kafka.brokers):
            made_log(kafka.addresses, topic, settings)
        fresh = KafkaLogWriter(kafka.addresses, topic, settings, SPOOL_AFTER_MS)
        fresh.warm_up(self.edge_id, SYSTEM_CLOCK.now_ms())
        drain = KafkaLogWriter(kafka.addresses, topic, settings, 5_000)
        self.writer, self.drainer = SpooledWriter.open(
            fresh, drain, spool, self.edge_id, SYSTEM_CLOCK.now_ms(), 1 << 30, SPOOL_AFTER_MS
        )
        self.acknowledged = 0
        self.longest_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def click(self, seconds: float) -> None:
        """Append batches at RATE, as one commit thread does."""
        begun_s = time.monotonic()
        sent = 0
        while (elapsed_s := time.monotonic() - begun_s) < seconds:
            if sent > elapsed_s * RATE:
                time.sleep(BATCH / RATE / 4)
                continue
            now_ms, first = SYSTEM_CLOCK.now_ms(), self.acknowledged + 1
            batch = [click(self.edge_id, seq, now_ms) for seq in range(first, first + BATCH)]
            started_s = time.monotonic()
            self.writer.append(batch, now_ms)
            self.longest_s = max(self.longest_s, time.monotonic() - started_s)
            self.acknowledged += BATCH
            sent += BATCH

    def wait_drained(self) -> float:
        """Return once nothing is spooled, with the seconds that took."""
        begun_s = time.monotonic()
        while self.writer.spooled_bytes or self.writer.away:
            assert time.monotonic() - begun_s < DRAINED_S_MAX, f"{self.writer.spooled_bytes} bytes are still spooled"
            time.sleep(0.05)
        return time.monotonic() - begun_s

    def stop(self, closing: Closing | None = None) -> None:
        self._ended.set()
        self._thread.join()
        self.writer.close(closing, SYSTEM_CLOCK.now_ms())
        self.drainer.close(SYSTEM_CLOCK.now_ms())

    def _drain(self) -> None:
        while not self._ended.wait(self.drainer.step(SYSTEM_CLOCK.now_ms())):
            pass


def click(edge_id: str, seq: int, now_ms: int) -> bytes:
    return encode_event(Event(edge_id, seq, now_ms, "ad", "c", "adv", f"u{seq}", "mobile", "ok", "", "agent"))


def counted(records: list[Record]) -> dict[str, list[int]]:
    seqs: dict[str, list[int]] = {}
    for record in records:
        if is_shared(record.partition):
            for event in decode_event_lines(record.payload):
                seqs.setdefault(event.edge_id, []).append(event.seq)
    return seqs


def test_killing_one_broker_of_three_loses_no_acknowledged_click(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    edge = Edge(kafka, topic, tmp_path)
    edge.click(3)
    kafka.brokers[1].kill()
    edge.click(10)
    took_s = edge.wait_drained()
    edge.stop(Closing(edge.edge_id, edge.acknowledged, SYSTEM_CLOCK.now_ms()))
    seqs = counted(list(whole_log(kafka.addresses, topic)))[edge.edge_id]
    print(
        f"{edge.acknowledged} acknowledged, {len(set(seqs))} in the log, {len(seqs) - len(set(seqs))} twice; "
        f"longest append {edge.longest_s:.3f} s, drained {took_s:.1f} s after the end"
    )
    assert set(seqs) == set(range(1, edge.acknowledged + 1))


def test_without_enough_brokers_the_spool_takes_over_and_a_later_start_drains_it(
    kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    edge = Edge(kafka, topic, tmp_path)
    edge.click(2)
    for broker in kafka.brokers[:2]:
        broker.kill()
    edge.click(5)
    assert edge.writer.away
    assert edge.writer.spooled_bytes > 0
    edge.stop()
    second = Edge(kafka, topic, tmp_path)
    second.click(2)
    kafka.start()
    second.click(2)
    took_s = second.wait_drained()
    second.stop()
    records = list(whole_log(kafka.addresses, topic))
    seqs = counted(records)
    print(
        f"{edge.acknowledged} + {second.acknowledged} acknowledged, longest append {edge.longest_s:.3f} and "
        f"{second.longest_s:.3f} s; all drained {took_s:.1f} s after the clicks"
    )
    for each in (edge, second):
        assert set(seqs[each.edge_id]) == set(range(1, each.acknowledged + 1))
    closings = [
        record
        for each in records
        if each.partition == CONTROLS and isinstance(record := decode_control(each.payload), Closing)
    ]
    # What is drained twice, as its first acknowledgement came late, says the same again.
    assert {(each.edge_id, each.last_seq) for each in closings} == {(edge.edge_id, edge.acknowledged)}


def test_clicks_do_not_wait_for_a_frozen_broker(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    edge = Edge(kafka, topic, tmp_path)
    edge.click(2)
    kafka.brokers[2].freeze()
    try:
        # Until these are acknowledged the broker stays frozen.
        edge.click(6)
    finally:
        kafka.brokers[2].thaw()
    edge.wait_drained()
    edge.stop()
    seqs = counted(list(whole_log(kafka.addresses, topic)))[edge.edge_id]
    print(f"longest append {edge.longest_s:.3f} s")
    assert set(seqs) == set(range(1, edge.acknowledged + 1))
