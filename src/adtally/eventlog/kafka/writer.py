"""Writes events and control records to Kafka, and returns when enough brokers have them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from adtally.clock import SYSTEM_CLOCK, Clock
from adtally.counting import partition_of
from adtally.errors import LogClosedError, LogError
from adtally.event import Control, Heartbeat, encode_control
from adtally.eventlog.kafka.topics import (
    CONTROL_KEY,
    Topics,
    TopicSettings,
    client_settings,
    list_partitions,
    log_error,
    make_topics,
)
from adtally.eventlog.port import SHARED_PREFIX
from adtally.telemetry import log

WARM_UP_S: Final = 5.0
MESSAGE_LIFE_MS: Final = 10_000
"""For so long a message of a failed append may still be delivered."""


class _Key(msgspec.Struct, frozen=True):
    """What of an event decides about its partition."""

    ad_id: str
    user_id: str


_decode_key: Final = msgspec.json.Decoder(_Key).decode


class _Outstanding:
    """Counts down the messages of one append."""

    __slots__ = ("error", "left")

    def __init__(self) -> None:
        self.left = 0
        self.error: KafkaError | None = None

    def delivered(self, error: KafkaError | None, _message: object) -> None:
        """Take note of what became of one message; called while the producer is polled."""
        self.left -= 1
        if error is not None:
            self.error = error


class KafkaLogWriter:
    """Implements LogWriter over the topics of `topics.py`.

    Nothing is asked of the brokers before the first append, so an edge starts while they are away. An append that is
    not acknowledged within `timeout_ms` raises LogError; its messages may be delivered later. Imports and mended dead
    letters go into a topic of their own, together with their control records (`imports`). Used by one thread.
    """

    def __init__(
        self,
        brokers: tuple[str, ...],
        topic: str,
        settings: TopicSettings,
        timeout_ms: int,
        *,
        imports: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._brokers = brokers
        self._topics = Topics(topic)
        self._settings = settings
        self._timeout_s = timeout_ms / 1000
        self._imports = imports
        self._clock = clock
        self._producer: Any = None
        self._partitions = 0
        self._closed = False

    def make_topics(self) -> None:
        """Make the topics if they are absent. Raises LogError."""
        make_topics(self._brokers, self._topics, self._settings, WARM_UP_S)

    def warm_up(self, edge_id: str, now_ms: int) -> None:
        """Make the topics if they are absent, and connect by way of a heartbeat: the first append costs most.

        Brokers that are away are no failure: the log says so, and the first append tries again.
        """
        usual_s, self._timeout_s = self._timeout_s, WARM_UP_S
        try:
            self.make_topics()
            self.append_control(Heartbeat(edge_id, 0, now_ms), now_ms)
        except LogError as error:
            log.warning("the brokers do not answer yet", error=str(error))
        finally:
            self._timeout_s = usual_s

    def append(self, events: Sequence[bytes], now_ms: int) -> None:  # noqa: ARG002 - brokers stamp the time
        """Append a batch, an event a message. Raises LogError."""
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        producer, partitions = self._ready()
        batch = _Outstanding()
        topic = self._topics.imports if self._imports else self._topics.clicks
        try:
            for event in events:
                number = 0
                if not self._imports:
                    key = _decode_key(event)
                    number = partition_of(key.ad_id, key.user_id, partitions)
                producer.produce(topic, event, partition=number, on_delivery=batch.delivered)
                batch.left += 1
        except (KafkaException, BufferError) as error:
            raise self._failed(error) from error
        self._await(batch, deadline_s)

    def append_control(self, record: Control, now_ms: int) -> None:  # noqa: ARG002
        """Append a control record. Raises LogError."""
        self._append_controls([record])

    def append_together(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        """Append a batch, and once it is acknowledged the records. Raises LogError.

        Where that is between the two, the events are there and the records are not; never the other way round.
        """
        if events:
            self.append(events, now_ms)
        self._append_controls(records)

    def close(self, closing: Control | None, now_ms: int) -> None:
        """Append `closing` if given, and let go of the brokers."""
        if self._closed:
            return
        try:
            if closing is not None:
                self.append_control(closing, now_ms)
        finally:
            self._closed = True
            self._give_up_producer()

    def _append_controls(self, records: Sequence[Control]) -> None:
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        producer, _ = self._ready()
        batch = _Outstanding()
        topic = self._topics.imports if self._imports else self._topics.control
        try:
            for record in records:
                payload = encode_control(record)
                producer.produce(topic, payload, CONTROL_KEY, partition=0, on_delivery=batch.delivered)
                batch.left += 1
        except (KafkaException, BufferError) as error:
            raise self._failed(error) from error
        self._await(batch, deadline_s)

    def _await(self, batch: _Outstanding, deadline_s: float) -> None:
        producer = self._producer
        while batch.left and batch.error is None:
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                raise LogError(
                    f"the brokers did not acknowledge {batch.left} messages within {self._timeout_s:g} s: "
                    "see whether enough of them are in sync"
                )
            producer.poll(left_s)
        if batch.error is not None:
            raise self._failed(KafkaException(batch.error))

    def _ready(self) -> tuple[Any, int]:
        """Give the producer, and the number of the clicks' partitions."""
        if self._closed:
            raise LogClosedError("the writer of the log on Kafka is closed")
        if self._producer is None:
            self._producer = Producer(
                client_settings(self._brokers)
                | {
                    "acks": "all",
                    "enable.idempotence": True,
                    # A batch comes as a whole: waiting would only add to its way.
                    "linger.ms": 1,
                    "delivery.timeout.ms": MESSAGE_LIFE_MS,
                    "queue.buffering.max.messages": 1_000_000,
                    "retry.backoff.ms": 50,
                    "retry.backoff.max.ms": 200,
                    "topic.metadata.refresh.fast.interval.ms": 100,
                }
            )
        if not self._partitions:
            there = list_partitions(self._producer, self._topics, self._timeout_s)
            self._partitions = sum(name.startswith(SHARED_PREFIX) for name in there)
            if not self._partitions:
                raise LogError(f"the brokers have no topic {self._topics.clicks!r}: it is made when an edge starts")
        return self._producer, self._partitions

    def _failed(self, error: KafkaException | BufferError) -> LogError:
        if isinstance(error, BufferError):
            return LogError("the brokers take nothing, and what waits for them is as much as may wait")
        if error.args[0].fatal():
            # After such an error an idempotent producer takes nothing any more.
            self._give_up_producer()
        return log_error("the brokers did not take an append", error)

    def _give_up_producer(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.poll(0)
            self._producer = None
