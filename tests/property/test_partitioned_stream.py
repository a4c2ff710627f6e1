"""The stream over partitions in their own order, against the rule: whatever is restarted, repeated, lost or late."""

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.config import StreamConfig
from adtally.counting import AHEAD_MS, partition_of
from adtally.event import Event, Heartbeat
from adtally.stream.partitioned import PartitionedStream
from support.counts import Counts, InstantPump, MemoryLive
from support.memory_log import MemoryDeadLetters, MemoryLog
from support.partition_rule import Judged, Logged, judged, live_cells, together

WINDOW_MS, LATENESS_MS = 240_000, 90_000
CONFIG = StreamConfig(dedup_window_ms=WINDOW_MS, lateness_ms=LATENESS_MS, flush_ms=1_000, commit_ms=1)
START_MS = 1_700_000_000_000
EDGES = ("x", "y", "z")

DELAYS_MS = (0, 0, 0, 3, 500, 20_000, LATENESS_MS - 1, LATENESS_MS, LATENESS_MS + 1, 400_000)
"""From the click to its append: a spool lets them wait."""
CLOCKS_MS = (0, 0, 0, 700, 30_000, AHEAD_MS, AHEAD_MS + 1, 3_600_000)
"""How far an edge's clock runs ahead."""
BROKER_MS = (0, 0, 0, 0, -1, -2_000, -40_000, -200_000)
"""What the append times go back by: a new leader's clock."""


class History:
    """What was appended where and when. No dataclass: Hypothesis would print all of its fields."""

    def __init__(self, appends: Sequence[tuple[str, int, tuple[Event, ...]]], end_ms: int) -> None:
        self.appends = appends
        self.end_ms = end_ms

    def __repr__(self) -> str:
        return "".join(
            f"\n{appended - START_MS:>8} {partition} "
            + " ".join(
                f"{e.edge_id}{e.seq}@{e.ts_ms - START_MS}:{e.ad_id}{e.user_id}{e.impression_id or ''}/{e.verdict}"
                for e in events
            )
            for partition, appended, events in self.appends
        )

    def partitions(self) -> dict[str, list[Logged]]:
        found: dict[str, list[Logged]] = {}
        for partition, appended_ms, events in self.appends:
            log = found.setdefault(partition, [])
            log += [Logged(len(log) + place, appended_ms, event) for place, event in enumerate(events)]
        return found

    def clocks_apart_ms(self) -> int:
        """Give how far a broker's clock lags behind the stream's, which is that of the last append."""
        return max(
            self.appends[place][1] - later[1] for place in range(len(self.appends)) for later in self.appends[place:]
        )

    def expected(self) -> Counts:
        return together(live_cells(log, WINDOW_MS, LATENESS_MS, AHEAD_MS) for log in self.partitions().values())

    def judged(self) -> list[Judged]:
        return [one for log in self.partitions().values() for one in judged(log, WINDOW_MS, LATENESS_MS, AHEAD_MS)]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Few ads, users and impressions, so that duplicates are frequent; gaps from nothing to several windows."""
    rnd = random.Random(draw(st.integers(0, 2**32)))
    partitions = draw(st.integers(1, 3))
    gaps_ms = draw(
        st.sampled_from([(0, 1, 40, 900), (900, 7_000, 20_000), (1, 7_000, 45_000, 61_000, WINDOW_MS - 1, WINDOW_MS)])
    )
    delays_ms, clocks_ms, broker_ms = (
        draw(st.sampled_from([few[:3], few])) for few in (DELAYS_MS, CLOCKS_MS, BROKER_MS)
    )
    now_ms, broker = START_MS + rnd.randrange(60_000), dict.fromkeys(range(partitions), 0)
    ahead_ms = {edge: rnd.choice(clocks_ms) for edge in EDGES}
    seqs, last_ms = dict.fromkeys(EDGES, 0), dict.fromkeys(EDGES, 0)
    appends: list[tuple[str, int, tuple[Event, ...]]] = []
    logged: list[Event] = []
    for _ in range(draw(st.integers(1, 80))):
        now_ms += rnd.choice(gaps_ms)
        edge, delay_ms = rnd.choice(EDGES), rnd.choice(delays_ms)
        batch: list[Event] = []
        for _ in range(rnd.choice([1, 1, 2, 5])):
            seqs[edge] += 1
            last_ms[edge] = max(last_ms[edge], now_ms + ahead_ms[edge])
            # What was spooled has an older number and time than what went past the spool.
            batch.append(_event(rnd, edge, seqs[edge], max(0, last_ms[edge] - delay_ms)))
        if logged and rnd.random() < 0.3:
            # A producer or a spool does not know what arrived.
            batch += rnd.choices(logged, k=rnd.choice([1, 3]))
        logged += batch
        for number in range(partitions):
            mine = tuple(event for event in batch if partition_of(event.ad_id, event.user_id, partitions) == number)
            if mine:
                broker[number] = rnd.choice([broker[number], broker[number], rnd.choice(broker_ms)])
                appends.append((f"clicks-{number}", now_ms + broker[number], mine))
    return History(appends, now_ms)


def _event(rnd: random.Random, edge: str, seq: int, ts_ms: int) -> Event:
    ad = rnd.choice(["a", "b"])
    return Event(
        edge_id=edge,
        seq=seq,
        ts_ms=ts_ms,
        ad_id=ad,
        campaign_id=f"c-{ad}",
        advertiser_id="adv",
        user_id=rnd.choice(["u", "v", "w"]),
        device=rnd.choice(["mobile", "desktop"]),
        verdict=rnd.choice(["ok", "ok", "ok", "ok", "bot", "prefetch"]),
        ip_prefix="10.0.0.0/24",
        user_agent="agent",
        impression_id=rnd.choice([None, "i1", "i2"]),
    )


def write(log: MemoryLog, history: History) -> None:
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)


def begin() -> tuple[MemoryLog, InstantPump]:
    """Give a log whose edges promise nothing, and a store."""
    log = MemoryLog()
    log.append_control("control-0", Heartbeat("x", 1, START_MS, oldest_spooled_ts_ms=1), START_MS)
    return log, InstantPump(MemoryLive())


def open_stream(
    log: MemoryLog, pump: InstantPump, records_max: int = 1_000_000, partitions: tuple[int, ...] = ()
) -> PartitionedStream:
    reader = log.reader("stream")
    reader.records_max = records_max
    config = StreamConfig(
        dedup_window_ms=WINDOW_MS, lateness_ms=LATENESS_MS, flush_ms=1_000, commit_ms=1, partitions=partitions
    )
    return PartitionedStream(reader, MemoryDeadLetters(), pump, config)


def run_until_idle(stream: PartitionedStream, now_ms: int) -> None:
    """Step until the whole log is read, partitions that appeared late too, and everything is in the store."""
    for step in range(1_000):
        if stream.step(now_ms + step * 1_000) == 0 and stream.idle and step > 1:
            return
    raise AssertionError("the stream does not come to rest")


@given(histories(), st.sampled_from([1, 2, 4, 1_000_000]))
@settings(deadline=None)
def test_the_live_numbers_are_those_of_the_rule_in_whatever_pieces_the_log_is_read(
    history: History, records_max: int
) -> None:
    log, pump = begin()
    write(log, history)
    stream = open_stream(log, pump, records_max)
    run_until_idle(stream, history.end_ms)
    outcomes = [outcome for _, outcome in history.judged()]
    report = stream.report(history.end_ms)
    assert pump.live.counts() == history.expected()
    assert (report.late, report.repeats) == (outcomes.count("late"), outcomes.count("repeat"))
    assert report.events == len(outcomes)


@given(histories(), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_restarts_while_the_log_grows_change_nothing(history: History, seed: int) -> None:
    rnd = random.Random(seed)
    log, pump = begin()
    stream = open_stream(log, pump)
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)
        if rnd.random() < 0.7:
            stream.step(appended_ms)
        if rnd.random() < 0.3:
            # Killed: nothing but the log, the committed positions and the store is left.
            stream = open_stream(log, pump, rnd.choice([1, 2, 1_000]))
    run_until_idle(stream, history.end_ms)
    assert pump.live.counts() == history.expected()


@given(histories())
@settings(max_examples=150, deadline=None)
def test_a_restart_at_every_point_changes_nothing(history: History) -> None:
    log, pump = begin()
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)
        stream = open_stream(log, pump)
        for step in range(3):
            stream.step(appended_ms + step * 1_000)
    run_until_idle(open_stream(log, pump), history.end_ms)
    assert pump.live.counts() == history.expected()


@given(histories(), st.lists(st.sampled_from(["ok", "lost", "unsure"]), max_size=20))
@settings(deadline=None)
def test_lost_and_repeated_deliveries_change_nothing(history: History, fates: list[str]) -> None:
    log, pump = begin()
    pump.fates = fates
    write(log, history)
    run_until_idle(open_stream(log, pump, 2), history.end_ms)
    assert pump.live.counts() == history.expected()


@given(histories(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_streams_that_share_partitions_or_count_the_same_ones_change_nothing(history: History, seed: int) -> None:
    rnd = random.Random(seed)
    log, live = begin()[0], MemoryLive()
    groups: list[tuple[int, ...]] = [(0,), (1, 2), ()]
    streams = [open_stream(log, InstantPump(live), rnd.choice([1, 3]), group) for group in groups]
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)
        rnd.choice(streams).step(appended_ms)
        if rnd.random() < 0.2:
            place = rnd.randrange(3)
            streams[place] = open_stream(log, InstantPump(live), 2, groups[place])
    for stream in streams[: rnd.choice([2, 3])]:
        run_until_idle(stream, history.end_ms)
    assert live.counts() == history.expected()


@given(histories(), st.integers(0, 2**32))
@settings(deadline=None)
def test_what_is_said_to_be_counted_is_in_the_store(history: History, seed: int) -> None:
    rnd = random.Random(seed)
    log, pump = begin()
    pump.fates = [rnd.choice(["ok", "ok", "lost", "unsure"]) for _ in range(20)]
    stream = open_stream(log, pump, rnd.choice([1, 2, 1_000]))
    said: list[tuple[int, Counts]] = []
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)
        stream.step(appended_ms)
        said.append((pump.as_of_ms, pump.live.counts()))
    expected = history.expected()
    for as_of_ms, counts in said:
        for cell in expected.keys() | counts.keys():
            if (cell[3] + 60) * 1_000 <= as_of_ms - history.clocks_apart_ms():
                assert counts.get(cell) == expected.get(cell)


@given(histories())
@settings(deadline=None)
def test_the_state_is_bounded_by_window_and_lateness(history: History) -> None:
    log, pump = begin()
    write(log, history)
    stream = open_stream(log, pump)
    run_until_idle(stream, history.end_ms)
    for step in range(1, 4):
        later_ms = history.end_ms + step * (WINDOW_MS + LATENESS_MS + AHEAD_MS)
        probe = Event("p", step, later_ms, "z", "c", "adv", "u", "mobile", "ok", "", "")
        for partition in [name for name in log.records if name != "control-0"]:
            log.append(partition, [probe], later_ms)
        run_until_idle(stream, later_ms)
    partitions = len(log.records) - 1
    report = stream.report(later_ms)
    assert report.dedup_entries <= 2 * partitions
    assert report.open_cells <= 2 * partitions
    remembered = [edge for count in stream._counts.values() for edge in count.sieve._edges]
    assert len(remembered) <= partitions
