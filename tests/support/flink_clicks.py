"""Clicks for a stream that reads a topic: made from a seed, produced, and read back with what the broker stamped."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from adtally.counting import partition_of
from adtally.event import Event, decode_event, encode_event
from support.counts import Counts
from support.partition_rule import Logged, live_cells, together

PARTITIONS = 4


def make_topic(brokers: Sequence[str], topic: str) -> None:
    settings = {"message.timestamp.type": "LogAppendTime"}
    wanted = NewTopic(topic, PARTITIONS, 1, config=settings)
    admin = AdminClient({"bootstrap.servers": ",".join(brokers)})
    admin.create_topics([wanted])[topic].result()


def clicks(rng: random.Random, now_ms: int, number: int, edge_id: str) -> Iterator[Event]:
    """Give events of few ads and users, so that they repeat; some long before or after the others, some late."""
    for seq in range(1, number + 1):
        ad = rng.randrange(6)
        kind = rng.random()
        at_ms = now_ms - rng.choice((0, 1_000, rng.randrange(110_000), -rng.randrange(50_000)))
        yield Event(
            edge_id=edge_id,
            seq=seq,
            ts_ms=now_ms - rng.randrange(125_000, 4_000_000) if kind < 0.05 else at_ms,
            ad_id=f"ad_{ad}",
            campaign_id=f"camp_{ad % 3}",
            advertiser_id=f"adv_{ad % 2}",
            user_id=f"usr_é{rng.randrange(60)}",
            device=rng.choice(("desktop", "mobile")),
            verdict=rng.choice(("bot", "head", "prefetch", "paused_ad")) if kind > 0.9 else "ok",
            ip_prefix="203.0.113.0/24",
            user_agent='Mozilla/5.0 ("quoted")',
            impression_id=f"imp_{rng.randrange(8)}" if rng.random() < 0.6 else None,
        )


class Clicks:
    """A topic of clicks."""

    def __init__(self, brokers: Sequence[str], topic: str) -> None:
        self.brokers, self.topic = ",".join(brokers), topic
        make_topic(brokers, topic)
        self._producer = kafka.Producer({"bootstrap.servers": self.brokers, "linger.ms": 5, "log_level": 0})

    def produce(self, events: Iterator[Event] | Sequence[Event]) -> None:
        for event in events:
            partition = partition_of(event.ad_id, event.user_id, PARTITIONS)
            self._producer.produce(self.topic, encode_event(event), partition=partition)
        assert self._producer.flush(120) == 0

    def produce_raw(self, payload: bytes, partition: int) -> None:
        self._producer.produce(self.topic, payload, partition=partition)
        assert self._producer.flush(120) == 0

    def logged(self) -> dict[int, list[Logged]]:
        """Give what the topic holds, by partition; what is no event is left out."""
        consumer = kafka.Consumer({"bootstrap.servers": self.brokers, "group.id": "test", "enable.auto.commit": False})
        places = [kafka.TopicPartition(self.topic, partition, 0) for partition in range(PARTITIONS)]
        missing = sum(consumer.get_watermark_offsets(place)[1] for place in places)
        consumer.assign(places)
        found: dict[int, list[Logged]] = defaultdict(list)
        while missing:
            for message in consumer.consume(1_000, 5):
                if message.error() is not None:
                    # About a broker: clients mend that by themselves.
                    continue
                missing -= 1
                place: Any = (message.partition(), message.offset(), message.timestamp()[1])
                payload = message.value() or b""
                if payload.startswith(b'{"edge_id"'):
                    found[place[0]].append(Logged(place[1], place[2], decode_event(payload)))
        consumer.close()
        return found

    def expected(self, window_ms: int, lateness_ms: int) -> Counts:
        """Give what the live table must hold."""
        return together(live_cells(logged, window_ms, lateness_ms) for logged in self.logged().values())
