"""Three ways to count one log: partition by partition, merged by edges, and again from all raw events."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.config import StreamConfig
from adtally.counting import click_key, partition_of
from adtally.event import VERDICTS, Event, Heartbeat, Opening
from adtally.ledger.port import Rules
from adtally.stream.partitioned import PartitionedStream
from adtally.stream.stream import Stream
from support.counts import Cell, Counts, InstantPump, MemoryLive
from support.memory_log import MemoryDeadLetters, MemoryLog
from support.plain_recount import HOUR_MS, plain_recount

WINDOW_MS, LATENESS_MS = 300_000, 120_000
RULES = Rules(WINDOW_MS, LATENESS_MS, VERDICTS, 1)
CONFIG = StreamConfig(dedup_window_ms=WINDOW_MS, lateness_ms=LATENESS_MS, flush_ms=1_000, commit_ms=1)
MIDNIGHT_MS = 1_795_737_600_000


class Appended(NamedTuple):
    """An event, and when it was appended."""

    event: Event
    appended_ms: int


Log = Sequence[Appended]
"""All partitions together, in the order of their appends."""


@st.composite
def logs(draw: st.DrawFn, edges: int, delays_ms: Sequence[int]) -> Log:
    """Begin shortly before midnight; nothing is late, and nothing is of a clock that runs ahead."""
    rnd = random.Random(draw(st.integers(0, 2**32)))
    gaps_ms = draw(st.sampled_from([(0, 1, 40, 900), (1, 7_000, 59_999, 60_000, WINDOW_MS - 1, WINDOW_MS)]))
    ts_ms = MIDNIGHT_MS - rnd.randrange(600_000)
    found: list[Appended] = []
    for seq in range(1, draw(st.integers(1, 150)) + 1):
        ts_ms += rnd.choice(gaps_ms)
        event = Event(
            edge_id=f"e{rnd.randrange(edges)}",
            seq=seq,
            ts_ms=ts_ms,
            ad_id=f"ad{rnd.randrange(2)}",
            campaign_id="c",
            advertiser_id="adv",
            user_id=f"u{rnd.randrange(3)}",
            device=rnd.choice(["mobile", "desktop"]),
            verdict=rnd.choice(["ok", "ok", "ok", "ok", "bot"]),
            ip_prefix="10.0.0.0/24",
            user_agent="agent",
            impression_id=rnd.choice([None, "i1", "i2"]),
        )
        found.append(Appended(event, ts_ms + rnd.choice(delays_ms)))
    found.sort(key=lambda each: each.appended_ms)
    return found


def by_partitions(log: Log, partitions: int) -> Counts:
    records, live = MemoryLog(), MemoryLive()
    for event, appended_ms in log:
        records.append(f"clicks-{partition_of(event.ad_id, event.user_id, partitions)}", [event], appended_ms)
    return counted(PartitionedStream(records.reader("stream"), MemoryDeadLetters(), InstantPump(live), CONFIG), live)


def merged(log: Log) -> Counts:
    records, live = MemoryLog(), MemoryLive()
    records.append_control("edge-0", Opening("e0", 0), log[0].appended_ms)
    for event, appended_ms in log:
        records.append("edge-0", [event], appended_ms)
    records.append_control("edge-0", Heartbeat("e0", len(log), log[-1].appended_ms), log[-1].appended_ms)
    return counted(Stream(records.reader("stream"), MemoryDeadLetters(), InstantPump(live), CONFIG), live)


def counted(stream: Stream | PartitionedStream, live: MemoryLive) -> Counts:
    for step in range(3):
        stream.step(MIDNIGHT_MS + step * 1_000)
    assert stream.idle
    return live.counts()


def recounted(log: Log) -> Counts:
    return plain_recount(log, MIDNIGHT_MS - HOUR_MS, MIDNIGHT_MS + 24 * HOUR_MS, RULES).cells


def differences(first: Counts, second: Counts) -> dict[Cell, int]:
    found = Counter({cell: clicks for cell, (clicks, _) in first.items()})
    found.subtract({cell: clicks for cell, (clicks, _) in second.items()})
    return {cell: clicks for cell, clicks in found.items() if clicks}


def received(counts: Counts) -> Counter[tuple[str | int, ...]]:
    """Give what came, whatever became of it."""
    found: Counter[tuple[str | int, ...]] = Counter()
    for cell, (clicks, _) in counts.items():
        found[cell[:-1]] += clicks
    return found


def parted(log: Log) -> tuple[list[Appended], list[Appended]]:
    """Part the clicks whose events stand in the log in their order of time from those that overtook each other."""
    clicks: dict[str, list[Event]] = {}
    for event, _ in log:
        clicks.setdefault(key_of(event), []).append(event)
    overtaken = {
        key for key, events in clicks.items() if not in_order(event for event in events if event.verdict == "ok")
    }
    parts: tuple[list[Appended], list[Appended]] = [], []
    for each in log:
        parts[key_of(each.event) in overtaken].append(each)
    return parts


def key_of(event: Event) -> str:
    return click_key(event.ad_id, event.user_id, event.impression_id, event.ts_ms)


def in_order(events: Iterable[Event]) -> bool:
    places = [(event.ts_ms, event.edge_id, event.seq) for event in events]
    return places == sorted(places)


@settings(deadline=None)
@given(logs(edges=1, delays_ms=(5,)), st.integers(1, 3))
def test_of_one_edge_in_order_of_time_all_three_agree_on_every_cell(log: Log, partitions: int) -> None:
    assert by_partitions(log, partitions) == merged(log) == recounted(log)


@settings(deadline=None, max_examples=200)
@given(logs(edges=3, delays_ms=(0, 5, 900, 60_000, LATENESS_MS)), st.integers(1, 3))
def test_the_recount_differs_by_clicks_that_overtook_each_other_and_by_nothing_else(log: Log, partitions: int) -> None:
    straight, overtaken = parted(log)
    assert by_partitions(straight, partitions) == recounted(straight)
    live, right = by_partitions(log, partitions), recounted(log)
    assert differences(live, right) == differences(by_partitions(overtaken, partitions), recounted(overtaken))
    assert received(live) == received(right)


def test_a_double_click_that_overtook_the_first_is_counted_in_its_place_and_the_recount_puts_it_right() -> None:
    first = Event("e0", 1, MIDNIGHT_MS, "ad", "c", "adv", "u", "mobile", "ok", "", "", "i")
    second = Event("e1", 1, MIDNIGHT_MS + 60_000, "ad", "c", "adv", "u", "mobile", "ok", "", "", "i")
    log = [Appended(second, MIDNIGHT_MS + 60_005), Appended(first, MIDNIGHT_MS + 70_000)]
    minute_s, key = MIDNIGHT_MS // 1_000, ("adv", "c", "ad")
    assert differences(by_partitions(log, 1), recounted(log)) == {
        (*key, minute_s, "mobile", "counted"): -1,
        (*key, minute_s, "mobile", "duplicate"): 1,
        (*key, minute_s + 60, "mobile", "counted"): 1,
        (*key, minute_s + 60, "mobile", "duplicate"): -1,
    }
