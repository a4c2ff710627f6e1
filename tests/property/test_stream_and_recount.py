"""Two engines that share nothing but the rules: the stream over the log, and the recount over the lake."""

import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from adtally.config import StreamConfig
from adtally.event import VERDICTS, Event, Heartbeat, Opening
from adtally.eventlog.port import Partition, Position, Record
from adtally.ledger.port import Rules
from adtally.reconcile.chdb.recounter import ChdbRecounter
from adtally.reconcile.port import Recounted, RecountJob
from adtally.stream.stream import Stream
from support.counts import Cell, Counts, InstantPump, MemoryLive
from support.lake_folder import write_lake
from support.memory_log import MemoryDeadLetters, MemoryLog, MemoryLogReader
from support.plain_recount import HOUR_MS, read_cells

WINDOW_MS, LATENESS_MS = 300_000, 120_000
RULES = Rules(WINDOW_MS, LATENESS_MS, VERDICTS, 1)
CONFIG = StreamConfig(dedup_window_ms=WINDOW_MS, lateness_ms=LATENESS_MS, flush_ms=1_000, commit_ms=1)
MIDNIGHT_MS = 1_795_737_600_000
"""2026-11-27T00:00:00Z"""
MEMORY_BYTES_MAX = 512 * 1024**2


class Append(NamedTuple):
    """One batch of one edge."""

    partition: str
    appended_ms: int
    events: tuple[Event, ...]


class Sizes(NamedTuple):
    """What a history is like."""

    batches: int
    edges: int
    ads: int
    users: int
    gaps_ms: Sequence[int]
    delays_ms: Sequence[int]


class History:
    """Batches in the order of their appends. No dataclass: Hypothesis would print all of its fields."""

    def __init__(self, appends: tuple[Append, ...]) -> None:
        self.appends = appends

    def __repr__(self) -> str:
        return "".join(
            f"\n{append.appended_ms - MIDNIGHT_MS:>9} {append.partition} "
            + " ".join(
                f"{e.ts_ms - MIDNIGHT_MS}:{e.ad_id},{e.user_id},{e.impression_id}/{e.verdict}" for e in append.events
            )
            for append in self.appends
        )


def history(rnd: random.Random, sizes: Sizes) -> History:
    """Begin shortly before midnight, so that the edges of minutes, an hour and a day are crossed."""
    now_ms = MIDNIGHT_MS - rnd.randrange(600_000)
    partitions = [f"edge-{n}" for n in range(sizes.edges)]
    seqs, last_ms = dict.fromkeys(partitions, 0), dict.fromkeys(partitions, 0)
    appends: list[Append] = []
    for _ in range(sizes.batches):
        now_ms += rnd.choice(sizes.gaps_ms)
        partition = rnd.choice(partitions)
        last_ms[partition] = max(last_ms[partition], now_ms - rnd.choice(sizes.delays_ms))
        batch = []
        for _ in range(rnd.choice([1, 1, 2, 5])):
            seqs[partition] += 1
            ad = rnd.randrange(sizes.ads)
            event = Event(
                edge_id=f"id-{partition}",
                seq=seqs[partition],
                ts_ms=last_ms[partition],
                ad_id=f"ad{ad}",
                campaign_id=f"c{ad % 3}",
                advertiser_id=f"adv{ad % 2}",
                user_id=f"u{rnd.randrange(sizes.users)}",
                device=rnd.choice(["mobile", "desktop"]),
                verdict=rnd.choice(["ok", "ok", "ok", "ok", "bot", "prefetch"]),
                ip_prefix="10.0.0.0/24",
                user_agent="agent",
                impression_id=rnd.choice([None, "i1", "i2"]),
            )
            batch.append(event)
        appends.append(Append(partition, now_ms, tuple(batch)))
    return History(tuple(appends))


@st.composite
def histories(draw: st.DrawFn, delays_ms: Sequence[int]) -> History:
    gaps_ms = draw(st.sampled_from([(0, 1, 40, 900), (1, 7_000, 59_999, 60_000, WINDOW_MS - 1, WINDOW_MS)]))
    sizes = Sizes(draw(st.integers(1, 80)), draw(st.integers(1, 3)), 2, 3, gaps_ms, delays_ms)
    return history(random.Random(draw(st.integers(0, 2**32))), sizes)


class WrongReader(MemoryLogReader):
    """A bad deploy: reads one batch never, or twice."""

    def __init__(self, log: MemoryLog, batch: tuple[Event, ...], times: int) -> None:
        super().__init__(log, "stream")
        self._first = (batch[0].edge_id, batch[0].seq)
        self._times = times

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        records = super().read(partition, start, bytes_max)
        found = []
        for record in records:
            edge_id, seq = self._first
            if record.kind == "events" and f'"edge_id":"{edge_id}","seq":{seq},'.encode() in record.payload:
                record = structs.replace(record, payload=b"\n".join([record.payload] * self._times))
            found.append(record)
        return found


def streamed(history: History, wrong: tuple[tuple[Event, ...], int] | None = None) -> tuple[Counts, int]:
    """Give the live cells, and how many events were late."""
    log, live = MemoryLog(), MemoryLive()
    partitions = sorted({append.partition for append in history.appends})
    for partition in partitions:
        log.append_control(partition, Opening(f"id-{partition}", 0), history.appends[0].appended_ms)
    for append in history.appends:
        log.append(append.partition, append.events, append.appended_ms)
    end_ms = history.appends[-1].appended_ms + 1
    for partition in partitions:
        log.append_control(partition, Heartbeat(f"id-{partition}", 1 << 40, end_ms), end_ms)
    reader = log.reader("stream") if wrong is None else WrongReader(log, *wrong)
    stream = Stream(reader, MemoryDeadLetters(), InstantPump(live), CONFIG)
    ends = {str(partition): str(records[-1].next) for partition, records in log.records.items()}
    for step in range(1_000):
        stream.step(end_ms + step * 1_000)
        if stream.idle and stream.report(end_ms).positions == ends:
            return live.counts(), stream.report(end_ms).late
    raise AssertionError("the stream does not come to rest")


@pytest.fixture(scope="module")
def recounter() -> Iterator[ChdbRecounter]:
    recounter = ChdbRecounter()
    yield recounter
    recounter.close()


def recounted(recounter: ChdbRecounter, history: History) -> tuple[Counts, Recounted]:
    events = [(event, append.appended_ms) for append in history.appends for event in append.events]
    # The archiver flushes now and then, and a crash made it repeat a part.
    files = (events[::2], events[1::2], events[: len(events) // 3])
    last_ms = max(event.ts_ms for event, _ in events)
    start_ms = min(event.ts_ms for event, _ in events) // HOUR_MS * HOUR_MS
    with tempfile.TemporaryDirectory() as name:
        results = Path(name) / "results"
        results.mkdir()
        written = write_lake(files, Path(name))
        end_ms = (last_ms // HOUR_MS + 1) * HOUR_MS
        answer = recounter.recount(RecountJob(start_ms, end_ms, written, RULES, str(results), MEMORY_BYTES_MAX))
        return read_cells(answer.files), answer


def differences(first: Counts, second: Counts) -> Counter[Cell]:
    """Give the cells of which `first` has more events (positive) or `second` (negative)."""
    found: Counter[Cell] = Counter({cell: clicks for cell, (clicks, _) in first.items()})
    found.subtract({cell: clicks for cell, (clicks, _) in second.items()})
    return Counter({cell: clicks for cell, clicks in found.items() if clicks})


def cells_of(events: Iterable[Event], outcome: str) -> Counter[Cell]:
    return Counter((e.advertiser_id, e.campaign_id, e.ad_id, e.ts_ms // 60_000 * 60, e.device, outcome) for e in events)


ON_TIME = (0, 3, 500, LATENESS_MS)
AT_TIMES_LATE = (0, 3, LATENESS_MS, LATENESS_MS + 1, LATENESS_MS + WINDOW_MS)


@settings(max_examples=25, deadline=None)
@given(history=histories(ON_TIME))
def test_where_nothing_is_late_stream_and_recount_agree_cell_by_cell(
    recounter: ChdbRecounter, history: History
) -> None:
    live, late = streamed(history)
    assert late == 0
    assert recounted(recounter, history)[0] == live


@settings(max_examples=15, deadline=None)
@given(history=histories(AT_TIMES_LATE))
def test_the_recount_counts_what_the_stream_calls_late(recounter: ChdbRecounter, history: History) -> None:
    live, late = streamed(history)
    cells, answer = recounted(recounter, history)
    assert sum(hour.late for hour in answer.hours.values()) == late
    assert sum(clicks for clicks, _ in cells.values()) - sum(clicks for clicks, _ in live.values()) == late


LARGE = Sizes(20_000, 4, 300, 2_000, (0, 1, 40, 900), ON_TIME)


def test_stream_and_recount_agree_on_tens_of_thousands_of_events(recounter: ChdbRecounter, seed: int) -> None:
    large = history(random.Random(seed), LARGE)
    live, _ = streamed(large)
    cells, answer = recounted(recounter, large)
    assert sum(hour.manifest.events for hour in answer.hours.values()) > 40_000
    assert {"counted", "duplicate", "bot", "prefetch"} == {cell[-1] for cell in cells}
    assert cells == live


@pytest.mark.parametrize(("times", "outcome", "sign"), [(0, "counted", 1), (2, "duplicate", -1)])
def test_what_a_bad_deploy_dropped_or_doubled_is_exactly_what_the_recount_finds(
    recounter: ChdbRecounter, seed: int, times: int, outcome: str, sign: int
) -> None:
    rnd = random.Random(seed)
    before = history(rnd, Sizes(2_000, 3, 20, 50, (0, 1, 40, 900), ON_TIME))
    place = rnd.randrange(len(before.appends))
    # People who click nothing else, so that nobody else's clicks are judged otherwise.
    batch = tuple(
        structs.replace(event, user_id=f"new{n}", verdict="ok") for n, event in enumerate(before.appends[place].events)
    )
    appends = list(before.appends)
    appends[place] = appends[place]._replace(events=batch)
    right = History(tuple(appends))
    live, _ = streamed(right, (batch, times))
    found = differences(recounted(recounter, right)[0], live)
    assert found == Counter({cell: sign * clicks for cell, clicks in cells_of(batch, outcome).items()})
