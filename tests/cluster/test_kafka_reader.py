"""What the reader of Kafka makes of what should not be there, and of what is not there any more."""

import secrets
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from deploy.local.kafka import Kafka1

from adtally.errors import LogError, PositionGoneError
from adtally.event import Event, Lost, Opening, encode_event
from adtally.eventlog.kafka.feed import position
from adtally.eventlog.kafka.reader import KafkaLogReader
from adtally.eventlog.kafka.topics import TopicSettings
from adtally.eventlog.kafka.writer import KafkaLogWriter
from adtally.eventlog.port import BEGINNING, IMPORTS, Partition, Position, Record
from support.embedded import wait_for
from support.kafka_logs import made_log, try_again
from support.servers import Servers

pytestmark = pytest.mark.servers

P = Partition("clicks-0")
SETTINGS = TopicSettings(1, 1, 7)
WAIT_S_MAX = 60.0


class Log:
    def __init__(self, kafka: Kafka1) -> None:
        self.kafka = kafka
        self.topic = f"test-{secrets.token_hex(4)}"
        made_log(kafka.addresses, self.topic, SETTINGS)
        self.writer = self.new_writer()
        self.reader = KafkaLogReader(kafka.addresses, self.topic, "test")

    def new_writer(self, *, imports: bool = False) -> KafkaLogWriter:
        return KafkaLogWriter(self.kafka.addresses, self.topic, SETTINGS, 10_000, imports=imports)

    def read_all(self, partition: Partition = P, start: Position = BEGINNING) -> list[Record]:
        records: list[Record] = []
        while found := self.read(partition, start):
            records += found
            start = found[-1].next
        return records

    def read(self, partition: Partition, start: Position) -> list[Record]:
        return try_again(lambda: self.reader.read(partition, start, 1 << 20))


@pytest.fixture
def log(servers: Servers) -> Iterator[Log]:
    made = Log(servers.running(Kafka1))
    yield made
    made.writer.close(None, 0)
    made.reader.close()


def event(seq: int) -> bytes:
    return encode_event(Event("e1", seq, 1_000 + seq, "ad", "c", "adv", "u", "mobile", "ok", "", "agent"))


def test_a_position_that_retention_removed_stops_the_reader_and_the_beginning_is_what_is_left(log: Log) -> None:
    log.writer.append([event(seq) for seq in range(1, 11)], 0)
    assert len(b"\n".join(record.payload for record in log.read_all()).split(b"\n")) == 10
    admin = AdminClient({"bootstrap.servers": ",".join(log.kafka.addresses)})
    removed = admin.delete_records([TopicPartition(log.topic, 0, 6)])
    next(iter(removed.values())).result(WAIT_S_MAX)
    late = KafkaLogReader(log.kafka.addresses, log.topic, "late")
    with pytest.raises(PositionGoneError, match="the log begins with 6"):
        try_again(lambda: late.read(P, position(2), 1_000))
    assert try_again(lambda: late.read(P, BEGINNING, 1))[0].at == position(6)
    assert try_again(lambda: late.read(P, position(8), 1))[0].payload.split(b"\n")[-1] == event(10)
    late.close()


def test_a_position_behind_the_end_is_an_error_and_not_an_end(log: Log) -> None:
    log.writer.append([event(1)], 0)

    def ask() -> bool:
        with pytest.raises(LogError) as caught:
            log.reader.read(P, position(5), 1_000)
        return "the log ends at 1" in str(caught.value)

    # The broker's own refusal of such a fetch may come first: an error too.
    wait_for(ask, WAIT_S_MAX, "the reader tells where the log ends")
    # It may also come when the next question was asked: an error to be tried again.
    assert log.read(P, position(1)) == []
    assert log.read(P, position(1)) == []


def test_a_message_that_is_not_one_event_is_damage_and_the_others_are_read(log: Log) -> None:
    producer = Producer({"bootstrap.servers": ",".join(log.kafka.addresses)})
    for value in (event(1), b"", event(2) + b"\n" + event(3), None, event(4)):
        producer.produce(log.topic, value, partition=0)
    producer.flush()
    records = log.read_all()
    kinds = [record.kind for record in records]
    assert kinds == ["events", "damaged", "damaged", "damaged", "events"]
    assert [record.at for record in records] == [position(offset) for offset in range(5)]
    assert [record.payload for record in records if record.kind == "events"] == [event(1), event(4)]


def test_imports_have_their_events_and_control_records_in_one_partition(log: Log) -> None:
    writer = log.new_writer(imports=True)
    writer.append_control(Opening("import-x", 1), 1)
    writer.append_together([event(1), event(2)], [Lost("import-x", 3, 3, 1)], 1)
    writer.close(None, 1)
    kinds = [record.kind for record in log.read_all(IMPORTS)]
    assert kinds[0] == kinds[-1] == "control"
    assert set(kinds[1:-1]) == {"events"}
    assert log.read_all() == []


def test_while_brokers_are_away_no_end_is_claimed_and_they_are_read_on_when_they_are_back(log: Log) -> None:
    log.writer.append([event(1)], 0)
    (record,) = log.read_all()
    log.kafka.kill()
    with pytest.raises(LogError):
        log.reader.read(P, record.next, 1_000)
    log.kafka.start()
    # An append that was not acknowledged in time may be there all the same.
    try_again(lambda: log.writer.append([event(2)], 0))
    payloads = b"\n".join(each.payload for each in log.read_all(start=record.next))
    assert set(payloads.split(b"\n")) == {event(2)}
