"""Logs on Kafka for tests: made and known before they are used, and read with the patience that readers have."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from confluent_kafka.admin import AdminClient

from adtally.errors import LogError, PositionGoneError
from adtally.eventlog.kafka.reader import KafkaLogReader
from adtally.eventlog.kafka.topics import Topics, TopicSettings, client_settings, list_partitions, make_topics
from adtally.eventlog.port import BEGINNING, Partition, Position, Record
from support.embedded import wait_for
from support.patience import PATIENCE_S, Given, until_it_answers

READ_BYTES: Final = 1 << 22


def try_again(call: Callable[[], Given]) -> Given:
    """Call until no LogError comes, which says that a later call may go well."""
    return until_it_answers(call, (LogError,), final=(PositionGoneError,))


def made_log(brokers: tuple[str, ...], topic: str, settings: TopicSettings) -> None:
    """Make a log's topics, and return when clients are told of all their partitions: brokers hear of them later."""
    topics = Topics(topic)
    try_again(lambda: make_topics(brokers, topics, settings))
    client = AdminClient(client_settings(brokers))
    all_of_them = settings.partitions + len(topics.prefixes()) - 1
    wait_for(
        lambda: len(try_again(lambda: list_partitions(client, topics))) == all_of_them, PATIENCE_S, f"{topic} is known"
    )


class PatientReader(KafkaLogReader):
    """Asks again where brokers do not answer in time, as all who read the log do."""

    def partitions(self) -> list[Partition]:
        return try_again(super().partitions)

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        ask = super().read
        return try_again(lambda: ask(partition, start, bytes_max))

    def committed(self) -> dict[Partition, Position]:
        return try_again(super().committed)

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        ask = super().commit
        try_again(lambda: ask(positions))


def whole_log(
    brokers: Sequence[str], topic: str, wanted: Callable[[Partition], bool] = lambda _: True
) -> Iterator[Record]:
    """Give all that a log holds, partition by partition, each in its order."""
    reader = PatientReader(tuple(brokers), topic, "oracle", wanted)
    try:
        for partition in reader.partitions():
            start = BEGINNING
            while found := reader.read(partition, start, READ_BYTES):
                yield from found
                start = found[-1].next
    finally:
        reader.close()
