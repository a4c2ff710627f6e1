"""Fresh clicks into a log on Kafka, as edges write them: Zipf ads, double clicks, impression ids."""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from adtally.clock import SYSTEM_CLOCK
from adtally.event import Closing, decode_event, encode_event
from adtally.eventlog.kafka.topics import TopicSettings
from adtally.eventlog.kafka.writer import KafkaLogWriter

PARTITIONS: Final = 12
BATCH: Final = 2_000
TIMEOUT_MS: Final = 30_000
EDGE_ID: Final = "0123456789abcdef0123456789abcdef"


class Fresh(msgspec.Struct, frozen=True):
    """What the clicks are like."""

    number: int
    ads: int = 5_000
    zipf: float = 1.1
    users: int = 5_000_000
    duplicate_share: float = 0.05
    only_ad: str = ""
    """All clicks are of this one."""
    seed: int = 1


def produce(brokers: tuple[str, ...], topic: str, clicks: Fresh, replicas: int = 1) -> float:
    """Append them, each with the time of its append, and their edge's end; give how many seconds it took."""
    writer = KafkaLogWriter(brokers, topic, TopicSettings(PARTITIONS, replicas, 1), TIMEOUT_MS)
    writer.make_topics()
    began_s = SYSTEM_CLOCK.monotonic_s()
    for batch in payloads(clicks):
        writer.append(batch, SYSTEM_CLOCK.now_ms())
    seconds = SYSTEM_CLOCK.monotonic_s() - began_s
    now_ms = SYSTEM_CLOCK.now_ms()
    writer.close(Closing(EDGE_ID, clicks.number, now_ms), now_ms)
    return seconds


def payloads(clicks: Fresh) -> Iterator[list[bytes]]:
    """Give the clicks' JSON in batches; the time in it is that of the batch's making."""
    rnd = np.random.default_rng(clicks.seed)
    number = clicks.number
    ads = rnd.choice(clicks.ads, number, p=_shares(clicks)).tolist()
    users = rnd.integers(0, clicks.users, number).tolist()
    impressions = rnd.integers(10**18, 9 * 10**18, number).tolist()
    twice = (rnd.random(number) < clicks.duplicate_share).tolist()
    for begin in range(0, number, BATCH):
        ts_ms = SYSTEM_CLOCK.now_ms()
        batch = []
        for place in range(begin, min(begin + BATCH, number)):
            # The second half of a double click is the click before.
            click = place - 1 if twice[place] and place else place
            batch.append(_payload(place + 1, ts_ms, clicks.only_ad, ads[click], users[click], impressions[click]))
        if encode_event(decode_event(batch[0])) != batch[0]:
            raise SystemExit(f"an edge would not write {batch[0]!r}")
        yield batch


def _shares(clicks: Fresh) -> list[float]:
    weights = [1.0 / rank**clicks.zipf for rank in range(1, clicks.ads + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]


def _payload(seq: int, ts_ms: int, only_ad: str, ad: int, user: int, impression: int) -> bytes:
    return (
        f'{{"edge_id":"{EDGE_ID}","seq":{seq},"ts_ms":{ts_ms},"ad_id":"{only_ad or f"ad_{ad:06}"}",'
        f'"campaign_id":"cmp_{ad // 10}","advertiser_id":"adv_{ad // 100}","user_id":"user_{user:07}",'
        '"device":"desktop","verdict":"ok","ip_prefix":"203.0.113.0/24","user_agent":"Mozilla/5.0 (Windows NT 10.0; '
        'Win64; x64) AppleWebKit/537.36",'
        f'"impression_id":"{impression}"}}'
    ).encode()
