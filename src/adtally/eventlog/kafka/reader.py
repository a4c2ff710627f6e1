"""Reads the topics of an event log, for one reader's name."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from adtally.clock import SYSTEM_CLOCK, Clock
from adtally.errors import LogError, PositionGoneError
from adtally.eventlog.kafka.ends import Ends
from adtally.eventlog.kafka.feed import Feed, offset_of, position
from adtally.eventlog.kafka.topics import ASK_S, Topics, client_settings, list_partitions, log_error
from adtally.eventlog.port import BEGINNING, Partition, Position, Record

ANSWER_S_MAX: Final = 5.0
"""After so long without the messages that must be there, brokers count as away."""
LISTED_S: Final = 5.0
"""For so long partitions that were listed are believed to be all."""
TAKE_MESSAGES: Final = 4_000
RETRY_S: Final = 0.1
_COORDINATOR_MOVES: Final = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
FEED_BYTES_MAX: Final = 4 << 20
"""A partition that nobody reads on is paused when it holds so much."""


class KafkaLogReader:
    """Implements LogReader over the partitions that `wanted` says. Used by one thread at a time."""

    def __init__(
        self,
        brokers: tuple[str, ...],
        topic: str,
        name: str,
        wanted: Callable[[Partition], bool] = lambda _: True,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._name = name
        self._wanted = wanted
        self._clock = clock
        self._topics = Topics(topic)
        self._group = f"{topic}.{name}"
        self._settings = client_settings(brokers)
        self._consumer: Any = Consumer(
            self._settings
            | {
                "group.id": self._group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                # A position that is gone is for a person to decide about.
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "queued.max.messages.kbytes": 32 * 1024,
                "check.crcs": True,
                "topic.metadata.refresh.interval.ms": 30_000,
            }
        )
        self._ends = Ends(AdminClient(self._settings), self._topics, clock)
        self._feeds: dict[tuple[str, int], Feed] = {}
        self._listed: list[Partition] = []
        self._listed_s = float("-inf")

    def partitions(self) -> list[Partition]:
        """Give the partitions, as they were some seconds ago. Raises LogError before the first answer."""
        now_s = self._clock.monotonic_s()
        if now_s - self._listed_s >= LISTED_S:
            try:
                there = list_partitions(self._consumer, self._topics)
            except LogError:
                if not self._listed:
                    raise
            else:
                # Brokers that just came back may not know all of them; none is ever removed.
                self._listed = sorted({*self._listed, *filter(self._wanted, there)})
            if self._listed:
                self._listed_s = now_s
        return list(self._listed)

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        """Give records from `start` on. Raises PositionGoneError and LogError."""
        feed = self._feed_at(partition, start)
        self._pump(0.0)
        if not feed.is_empty():
            return self._given(feed, bytes_max)
        self._raise_trouble(feed)
        end = self._ends.end(partition, [each.partition for each in self._feeds.values() if each.is_empty()])
        if end < feed.next_offset:
            raise LogError(
                f"{partition}: reader {self._name!r} stands at {feed.next_offset}, but the log ends at {end}: "
                "brokers have lost messages, or this is another topic"
            )
        if end == feed.next_offset:
            return []
        deadline_s = self._clock.monotonic_s() + ANSWER_S_MAX
        while feed.is_empty():
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                raise LogError(f"{partition}: the brokers gave no messages within {ANSWER_S_MAX:g} s")
            self._pump(left_s)
            self._raise_trouble(feed)
        return self._given(feed, bytes_max)

    def position_of(self, record: Record, index: int) -> Position:
        """Give the position of one event of a record: offsets inside one have no gaps."""
        return position(int(record.at) + index)

    def committed(self) -> dict[Partition, Position]:
        """Give this reader's committed positions. Raises LogError."""
        asked = [TopicPartition(*self._topics.place(each)) for each in self.partitions()]
        if not asked:
            return {}
        found = self._ask_committed(asked)
        self._raise_first_error(found)
        prefixes = self._topics.prefixes()
        return {
            Partition(f"{prefixes[each.topic]}{each.partition}"): position(each.offset)
            for each in found
            if each.offset != OFFSET_INVALID and each.offset >= 0
        }

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Remember where this reader would restart; BEGINNING is where one without a position does. Raises LogError."""
        offsets = [
            TopicPartition(*self._topics.place(partition), offset_of(at))
            for partition, at in positions.items()
            if at != BEGINNING
        ]
        if not offsets:
            return
        try:
            done = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise log_error(f"positions of reader {self._name!r} cannot be committed", error) from error
        self._raise_first_error(done)

    def forget(self) -> None:
        """Forget where this reader would restart. Raises LogError."""
        there = self.committed()
        if not there:
            return
        admin = AdminClient(self._settings)
        try:
            admin.delete_consumer_groups([self._group], request_timeout=ASK_S)[self._group].result()
        except KafkaException as error:
            raise log_error(f"positions of reader {self._name!r} cannot be forgotten", error) from error

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()

    def _ask_committed(self, asked: list[TopicPartition]) -> list[TopicPartition]:
        deadline_s = self._clock.monotonic_s() + ASK_S
        found: list[TopicPartition] | None = None
        while found is None:
            try:
                found = self._consumer.committed(asked, timeout=ASK_S)
            except KafkaException as error:
                # Brokers that just came up still find out which of them keeps the positions.
                if error.args[0].code() not in _COORDINATOR_MOVES or self._clock.monotonic_s() >= deadline_s:
                    raise log_error(f"positions of reader {self._name!r} cannot be read", error) from error
                time.sleep(RETRY_S)
        return found

    def _feed_at(self, partition: Partition, start: Position) -> Feed:
        place = self._topics.place(partition)
        feed = self._feeds.get(place)
        if feed is not None and not feed.trouble and feed.move_to(start):
            return feed
        if feed is not None and feed.trouble and feed.asked == start:
            # It is told once, and read anew after that.
            return feed
        self._drop(place)
        offset = self._ends.beginning(partition) if start == BEGINNING else offset_of(start)
        self._feeds[place] = feed = Feed(partition, start, offset)
        self._consumer.incremental_assign([TopicPartition(*place, offset)])
        return feed

    def _drop(self, place: tuple[str, int]) -> None:
        if self._feeds.pop(place, None) is not None:
            self._consumer.incremental_unassign([TopicPartition(*place)])

    def _pump(self, wait_s: float) -> None:
        """Move what has arrived into the feeds, waiting up to `wait_s` for the first message."""
        try:
            messages = self._consumer.consume(TAKE_MESSAGES, 0)
            if not messages and wait_s > 0:
                first = self._consumer.poll(wait_s)
                messages = [] if first is None else [first, *self._consumer.consume(TAKE_MESSAGES - 1, 0)]
        except KafkaException as error:
            raise log_error("the brokers cannot be read", error) from error
        fed: dict[tuple[str, int], list[Any]] = {}
        for message in messages:
            fed.setdefault((message.topic(), message.partition()), []).append(message)
        for place, some in fed.items():
            feed = self._feeds.get(place)
            if feed is None:
                # Of a partition that was let go of meanwhile, or about a broker: clients mend that by themselves.
                continue
            feed.take(some, controls=place[0] == self._topics.control, mixed=place[0] == self._topics.imports)
            if feed.lost_track:
                feed.lost_track = False
                self._consumer.incremental_unassign([TopicPartition(*place)])
                self._consumer.incremental_assign([TopicPartition(*place, feed.next_offset)])
            elif feed.bytes > FEED_BYTES_MAX and not feed.paused:
                feed.paused = True
                self._consumer.pause([TopicPartition(*place)])

    def _given(self, feed: Feed, bytes_max: int) -> list[Record]:
        records = feed.give(bytes_max)
        if feed.paused and feed.is_empty():
            feed.paused = False
            self._consumer.resume([TopicPartition(*self._topics.place(feed.partition))])
        return records

    def _raise_trouble(self, feed: Feed) -> None:
        if not (feed.trouble and feed.is_empty()):
            return
        self._drop(self._topics.place(feed.partition))
        trouble = f"{feed.partition}: reader {self._name!r} cannot read on at {feed.next_offset}: {feed.trouble}"
        if feed.out_of_range and not feed.anywhere:
            begins = self._ends.beginning(feed.partition)
            if feed.next_offset < begins:
                raise PositionGoneError(
                    f"{feed.partition}: reader {self._name!r} stands at {feed.next_offset}, but the log begins with "
                    f"{begins}: events were removed before they were read"
                )
        raise LogError(trouble)

    def _raise_first_error(self, answers: list[TopicPartition]) -> None:
        for each in answers:
            if each.error is not None:
                raise log_error(f"{each.topic} {each.partition}: no position", KafkaException(each.error))
