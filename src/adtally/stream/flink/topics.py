"""The job's topics in Kafka: the rows that it writes, how far it has read, and what is remembered of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import confluent_kafka as kafka
import msgspec
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from adtally.errors import LogError, PositionGoneError

TIMEOUT_S: Final = 10.0
LOOK_S: Final = 0.1
LOOKS_MAX: Final = 50
UNSETTLED: Final = frozenset(
    {
        kafka.KafkaError.NOT_COORDINATOR,
        kafka.KafkaError.COORDINATOR_NOT_AVAILABLE,
        kafka.KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        kafka.KafkaError.LEADER_NOT_AVAILABLE,
        kafka.KafkaError.NOT_LEADER_FOR_PARTITION,
        kafka.KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
"""A group has no coordinator, or a partition no leader, yet: it was just made, or its broker was just lost."""

LIVE_PARTITIONS: Final = 4
LIVE_RETENTION_MS: Final = 24 * 3_600_000

T = TypeVar("T")


def make_live_topic(brokers: Sequence[str], topic: str, replicas: int) -> None:
    """Make the topic of live rows, if it is not there. Raises LogError."""
    # Never compacted: a row brings the users of its pane only.
    settings = {"cleanup.policy": "delete", "retention.ms": str(LIVE_RETENTION_MS)}
    wanted = NewTopic(topic, LIVE_PARTITIONS, replicas, config=settings)
    admin = AdminClient(_client(brokers))
    try:
        admin.create_topics([wanted], operation_timeout=TIMEOUT_S)[topic].result()
    except kafka.KafkaException as error:
        if error.args[0].code() != kafka.KafkaError.TOPIC_ALREADY_EXISTS:
            raise LogError(f"the topic {topic} cannot be made: {error}") from None
    # It takes a moment until each broker knows it.
    for _ in range(LOOKS_MAX):
        if _asked(lambda: admin.list_topics(topic, timeout=TIMEOUT_S)).topics[topic].error is None:
            return
        time.sleep(LOOK_S)
    raise LogError(f"the topic {topic} was made, and is still not known")


class LiveTopic:
    """Implements LiveMessages: reads the rows of the job from where it last committed, or from the beginning."""

    def __init__(self, brokers: Sequence[str], topic: str, reader: str) -> None:
        self._consumer = _consumer(brokers, f"{topic}.{reader}")
        self._topic = topic
        self._partitions = _asked(lambda: _partitions(self._consumer, topic))
        places = [kafka.TopicPartition(topic, partition) for partition in self._partitions]
        committed = _asked(lambda: self._consumer.committed(places, timeout=TIMEOUT_S))
        for place in committed:
            if place.offset < 0:
                place.offset = _asked(lambda place=place: self._consumer.get_watermark_offsets(place, TIMEOUT_S)[0])  # type: ignore[misc]
        self._next = {place.partition: place.offset for place in committed}
        self._consumer.assign(committed)

    def read(self, messages_max: int) -> Sequence[bytes]:
        """Give what has come, without waiting. Raises LogError, PositionGoneError."""
        payloads = []
        for message in _asked(lambda: self._consumer.consume(messages_max, 0)):
            if (error := message.error()) is not None:
                if error.code() == kafka.KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - librdkafka's own name
                    raise PositionGoneError(f"rows of {self._topic} were removed before they were loaded: {error}")
                raise LogError(f"{self._topic} cannot be read: {error}")
            self._next[message.partition()] = message.offset() + 1
            if message.value() is not None:
                payloads.append(message.value())
        return payloads

    def commit(self) -> None:
        """Restart from behind everything that was given. Raises LogError."""
        places = [kafka.TopicPartition(self._topic, partition, offset) for partition, offset in self._next.items()]
        _asked(lambda: self._consumer.commit(offsets=places, asynchronous=False))

    def pass_over(self) -> None:
        """Restart from behind everything that is there. Raises LogError."""
        self._next = dict(self.ends())
        self.commit()

    def reached(self) -> Mapping[int, int]:
        """Give the offset that is read next, by partition."""
        return dict(self._next)

    def ends(self) -> Mapping[int, int]:
        """Give the offset that is written next, by partition. Raises LogError."""
        return _ends(self._consumer, self._topic, self._partitions)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


class Remembered(msgspec.Struct, frozen=True):
    """What must outlive the process that watches a job."""

    jid: str
    floor_ms: int
    checkpoint: str = ""
    """Empty before the first one."""
    checkpoint_ms: int = 0


class JobTopics:
    """Implements JobProgress and Memory: the clicks that the job reads, and a note beside its committed offsets."""

    def __init__(self, brokers: Sequence[str], topic: str, live_topic: str, group: str) -> None:
        self._topic, self._live_topic = topic, live_topic
        self._brokers, self._group = brokers, group
        self._consumer = _consumer(brokers, group)
        self._notes = _consumer(brokers, f"{group}.note")

    def committed(self) -> Mapping[int, int]:
        """Give what the job's last checkpoint has read, as the next offset of each partition. Raises LogError."""
        partitions = _asked(lambda: _partitions(self._consumer, self._topic))
        places = [kafka.TopicPartition(self._topic, partition) for partition in partitions]
        committed = _asked(lambda: self._consumer.committed(places, timeout=TIMEOUT_S))
        return {place.partition: place.offset for place in committed if place.offset >= 0}

    def ends(self) -> Mapping[int, int]:
        """Give the offset that is written next, by partition. Raises LogError."""
        return _ends(self._consumer, self._topic, _asked(lambda: _partitions(self._consumer, self._topic)))

    def passed_ms(self, now_ms: int) -> int | None:
        """Give a time before which every append is in the job's last checkpoint, None before the first one.

        Where the job has read to the end it is `now_ms`, which must be a time before the call. Raises LogError.
        """
        committed, ends = self.committed(), self.ends()
        if not committed:
            return None
        passed_ms = now_ms
        for partition, end in ends.items():
            offset = committed.get(partition, 0)
            if offset < end:
                passed_ms = min(passed_ms, self._appended_ms(partition, offset))
        return passed_ms

    def remember(self, note: Remembered) -> None:
        """Keep a note in the place of the one before. Raises LogError."""
        text = msgspec.json.encode(note).decode()
        place = kafka.TopicPartition(self._live_topic, 0, 0, text)
        _asked(lambda: self._notes.commit(offsets=[place], asynchronous=False))

    def recall(self) -> Remembered | None:
        """Give the last note, None where there is none. Raises LogError."""
        place = kafka.TopicPartition(self._live_topic, 0)
        (found,) = _asked(lambda: self._notes.committed([place], timeout=TIMEOUT_S))
        return msgspec.json.decode(found.metadata, type=Remembered) if found.metadata else None

    def forget(self) -> None:
        """Forget what the job has read, and what was remembered of it. Raises LogError."""
        groups = [self._group, f"{self._group}.note"]
        admin = AdminClient(_client(self._brokers))
        for group, done in admin.delete_consumer_groups(groups, request_timeout=TIMEOUT_S).items():
            try:
                done.result()
            except kafka.KafkaException as error:
                if error.args[0].code() != kafka.KafkaError.GROUP_ID_NOT_FOUND:
                    raise LogError(f"the positions of {group} cannot be forgotten: {error}") from None

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()
        self._notes.close()

    def _appended_ms(self, partition: int, offset: int) -> int:
        self._consumer.assign([kafka.TopicPartition(self._topic, partition, offset)])
        try:
            found = _asked(lambda: self._consumer.consume(1, TIMEOUT_S))
        finally:
            self._consumer.unassign()
        # What was removed meanwhile was counted long ago, or never can be: 0 reads all that is left.
        return 0 if not found or found[0].error() is not None else int(found[0].timestamp()[1])


def _client(brokers: Sequence[str]) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": ",".join(brokers), "log_level": 2}


def _consumer(brokers: Sequence[str], group: str) -> Any:  # noqa: ANN401 - the library has no types
    settings = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "error"}
    return kafka.Consumer({**_client(brokers), **settings, "fetch.wait.max.ms": 100})


def _partitions(consumer: Any, topic: str) -> list[int]:  # noqa: ANN401 - the library has no types
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise LogError(f"the topic {topic} cannot be read: {found.error}")
    return sorted(found.partitions)


def _ends(consumer: Any, topic: str, partitions: Sequence[int]) -> dict[int, int]:  # noqa: ANN401 - as above
    places = [kafka.TopicPartition(topic, partition) for partition in partitions]
    return {
        place.partition: _asked(lambda place=place: consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)[1])  # type: ignore[misc]
        for place in places
    }


def _asked(question: Callable[[], T]) -> T:
    """Give what Kafka answers, once a group's coordinator is found. Raises LogError."""
    looks = 0
    while True:
        try:
            return question()
        except kafka.KafkaException as error:
            looks += 1
            if error.args[0].code() not in UNSETTLED or looks == LOOKS_MAX:
                raise LogError(f"Kafka did not answer: {error}") from None
        time.sleep(LOOK_S)
