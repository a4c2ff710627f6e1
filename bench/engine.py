"""The stream's engine alone on one core: 5 % duplicates, ads by Zipf 1.3."""

from collections.abc import Mapping, Sequence

from adtally.clock import SYSTEM_CLOCK
from adtally.config import StreamConfig
from adtally.counting import AHEAD_MS, LATENESS_MS
from adtally.event import Event, decode_event_lines, encode_event
from adtally.eventlog.port import BEGINNING, DeadLetter, Partition, Position, Record
from adtally.stream.decoding import Decoding
from adtally.stream.engine import Engine
from adtally.stream.partition import PartitionCount
from adtally.stream.sieve import Sieve
from adtally.traffic.plan import Plan, PlanSettings, numbered_ads
from bench.results import Row, middle, rates

EVENTS_PER_S = 100_000
"""Of the log's time, so that minutes and windows pass as they would at a high rate."""

BATCH = 500
ADS = 100_000
START_MS = 1_795_478_400_000

Batch = tuple[list[Event], list[int]]


def measure(quick: bool) -> list[Row]:
    """Give one row for the engine and one with decoding, and the same for a partition that is read in its own order."""
    number, turns = (200_000, 3) if quick else (2_000_000, 5)
    batches = _batches(number)
    payloads = [(b"\n".join([encode_event(event) for event in events]), appended) for events, appended in batches]
    # A record for each event takes memory: a part of them tells as much.
    records = _records(batches[: len(batches) // 4])
    plain, decoding, sifting, partition = [], [], [], []
    for _ in range(turns):
        plain.append(number / _seconds_to_count(batches))
        decoding.append(number / _seconds_to_decode_and_count(payloads))
        sifting.append(number / _seconds_to_sift_and_count(batches))
        partition.append(len(records) * BATCH / _seconds_to_count_partition(records))
    what = f"stream/engine.py, one core, {number:,} events, 5 % duplicates, Zipf 1.3"
    return [
        Row("engine", what, f"{middle(plain):,.0f}/s", rates(plain), "250,000/s", "500,000/s"),
        Row("engine", f"{what}, decoding JSON too", f"{middle(decoding):,.0f}/s", rates(decoding)),
        Row("engine", f"{what}, one partition", f"{middle(sifting):,.0f}/s", rates(sifting)),
        Row("engine", f"{what}, one partition, decoding each event", f"{middle(partition):,.0f}/s", rates(partition)),
    ]


def _batches(number: int) -> list[Batch]:
    settings = PlanSettings(rate=EVENTS_PER_S, zipf=1.3, retry_share=0, bot_share=0, prefetch_share=0, head_share=0)
    plan = Plan(settings, numbered_ads(ADS), "bench")
    batches: list[Batch] = []
    for begin in range(0, number, BATCH):
        ts_ms = START_MS + begin * 1_000 // EVENTS_PER_S
        events = [
            Event(
                edge_id="0123456789abcdef",
                seq=begin + place,
                ts_ms=ts_ms,
                ad_id=attempt.ad_id,
                campaign_id=f"cmp_{attempt.ad_id[-3:]}",
                advertiser_id=f"adv_{attempt.ad_id[-2:]}",
                user_id=attempt.user_id,
                device="mobile",
                verdict="ok",
                ip_prefix="203.0.113.0/24",
                user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
                impression_id=attempt.impression_id,
            )
            for place, attempt in enumerate(plan.take(BATCH), 1)
        ]
        batches.append((events, [ts_ms + 5] * BATCH))
    return batches


def _seconds_to_count(batches: Sequence[Batch]) -> float:
    engine = Engine("all")
    began_s = SYSTEM_CLOCK.monotonic_s()
    for place, (events, appended_ms) in enumerate(batches):
        engine.apply(events, appended_ms, events[-1].ts_ms)
        _hand_over_now_and_then(engine, place)
    return SYSTEM_CLOCK.monotonic_s() - began_s


def _seconds_to_decode_and_count(payloads: Sequence[tuple[bytes, list[int]]]) -> float:
    engine = Engine("all")
    began_s = SYSTEM_CLOCK.monotonic_s()
    for place, (payload, appended_ms) in enumerate(payloads):
        events = decode_event_lines(payload)
        engine.apply(events, appended_ms, events[-1].ts_ms)
        _hand_over_now_and_then(engine, place)
    return SYSTEM_CLOCK.monotonic_s() - began_s


def _seconds_to_sift_and_count(batches: Sequence[Batch]) -> float:
    engine, sieve = Engine("all"), Sieve(LATENESS_MS, AHEAD_MS)
    began_s = SYSTEM_CLOCK.monotonic_s()
    for place, (events, appended_ms) in enumerate(batches):
        engine.apply(*sieve.sift(events, appended_ms), appended_ms[-1])
        _hand_over_now_and_then(engine, place)
    return SYSTEM_CLOCK.monotonic_s() - began_s


class _Records:
    """A reader of one partition whose records are one event each, as in Kafka, in reads of a batch."""

    def __init__(self, reads: Sequence[list[Record]]) -> None:
        self._reads = reads

    def partitions(self) -> list[Partition]:
        return [_PARTITION]

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        place = int(start or 0) // BATCH
        return self._reads[place] if place < len(self._reads) else []

    def position_of(self, record: Record, index: int) -> Position:
        return record.at

    def committed(self) -> dict[Partition, Position]:
        return {}

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        pass


class _NoLetters:
    """Keeps no dead letters, for there are none."""

    def put(self, letters: Sequence[DeadLetter]) -> None:
        raise NotImplementedError

    def list(self, limit: int, after: tuple[Partition, Position] | None = None) -> list[DeadLetter]:
        return []

    def get(self, partition: Partition, position: Position) -> DeadLetter:
        raise NotImplementedError

    def mark_replayed(self, partition: Partition, position: Position, now_ms: int) -> None:
        raise NotImplementedError

    def count(self) -> int:
        return 0

    def waiting(self) -> int:
        return 0

    def close(self) -> None:
        pass


_PARTITION = Partition("clicks-0")


def _records(batches: Sequence[Batch]) -> list[list[Record]]:
    return [
        [
            Record(
                _PARTITION,
                "events",
                at_ms,
                encode_event(event),
                Position(str(read * BATCH + place)),
                Position(str(read * BATCH + place + 1)),
            )
            for place, (event, at_ms) in enumerate(zip(events, appended_ms, strict=True))
        ]
        for read, (events, appended_ms) in enumerate(batches)
    ]


def _seconds_to_count_partition(reads: Sequence[list[Record]]) -> float:
    reader = _Records(reads)
    decoding = Decoding(reader, _NoLetters())
    count = PartitionCount(_PARTITION, BEGINNING, 0, StreamConfig())
    began_s = SYSTEM_CLOCK.monotonic_s()
    place = 0
    while count.advance(reader, decoding, 1, 0):
        _hand_over_now_and_then(count.engine, place)
        place += 1
    return SYSTEM_CLOCK.monotonic_s() - began_s


def _hand_over_now_and_then(engine: Engine, place: int) -> None:
    """Once a second of the log's time, as the stream does."""
    if place % (EVENTS_PER_S // BATCH) == 0:
        engine.take_dirty(1_000_000)
        engine.close_minutes()
