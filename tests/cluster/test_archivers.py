"""Several archivers share one log on Kafka, each with partitions of its own."""

import random
import secrets
import time

import pytest
from deploy.local.kafka import Kafka1

from adtally.config import LakeConfig
from adtally.event import Event, Heartbeat, Opening, encode_event
from adtally.eventlog.kafka.topics import TopicSettings
from adtally.eventlog.kafka.writer import KafkaLogWriter
from adtally.lake.archiver import Archiver
from adtally.wiring.counter import archived_here
from support.kafka_logs import PatientReader, made_log
from support.lake_events import NOON_MS, lake_ids
from support.memory_lake import MemoryLake
from support.memory_ledger import MemoryLedger
from support.memory_log import MemoryDeadLetters
from support.servers import Servers

pytestmark = pytest.mark.servers

EVENTS = 300
PARTITIONS = 4
SHARES = ((0, 2), (1, 3))
READ_S_MAX = 120.0


class Share:
    """One archiver of several, with connections of its own."""

    def __init__(
        self, kafka: Kafka1, topic: str, numbers: tuple[int, ...], lake: MemoryLake, ledger: MemoryLedger
    ) -> None:
        self.reader = PatientReader(kafka.addresses, topic, "archiver")
        self.archiver = Archiver(
            self.reader, lake, ledger, MemoryDeadLetters(), LakeConfig(), random.Random(1),
            lambda partition: archived_here(partition, numbers),
        )  # fmt: skip

    def passes(self, now_ms: int) -> None:
        """Archive all that its partitions hold."""
        deadline_s = time.monotonic() + READ_S_MAX
        while self.archiver.step(now_ms):
            assert time.monotonic() < deadline_s
        assert self.archiver.close(now_ms)


def event(seq: int) -> bytes:
    return encode_event(Event("e1", seq, NOON_MS + seq, "ad", "c", "adv", f"u{seq}", "mobile", "ok", "", "agent"))


def test_each_event_is_archived_by_the_one_whose_partition_it_is_in(servers: Servers) -> None:
    kafka = servers.running(Kafka1)
    topic = f"test-{secrets.token_hex(4)}"
    settings = TopicSettings(PARTITIONS, 1, 7)
    made_log(kafka.addresses, topic, settings)
    writer = KafkaLogWriter(kafka.addresses, topic, settings, 10_000)
    writer.append_control(Opening("e1", NOON_MS), NOON_MS)
    writer.append([event(seq) for seq in range(1, EVENTS + 1)], NOON_MS)
    writer.append_control(Heartbeat("e1", EVENTS, NOON_MS + EVENTS), NOON_MS)
    lake, ledger = MemoryLake(), MemoryLedger()
    first, second = (Share(kafka, topic, numbers, lake, ledger) for numbers in SHARES)
    first.passes(NOON_MS + 1_000)
    passed = {str(note.partition): note.passed_ms for note in ledger.archive()}
    assert [name for name, passed_ms in passed.items() if not passed_ms] == ["clicks-1", "clicks-3"]
    assert ledger.open_edges()[0].last_seq == EVENTS
    assert 0 < len(lake_ids(lake)) < EVENTS
    second.passes(NOON_MS + 2_000)
    assert lake_ids(lake) == [("e1", seq) for seq in range(1, EVENTS + 1)]
    assert min(note.passed_ms for note in ledger.archive()) == NOON_MS + 1_000
    for numbers in SHARES:
        # Whoever takes a share over goes on where it ended, whatever the other one has committed.
        again = Share(kafka, topic, numbers, lake, ledger)
        again.passes(NOON_MS + 3_000)
        assert again.archiver.report().events == 0
        again.reader.close()
    for share in (first, second):
        share.reader.close()
    writer.close(None, NOON_MS)
