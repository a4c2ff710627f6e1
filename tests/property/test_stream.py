"""The stream against an oracle: the numbers hold whatever is restarted, repeated, lost on the way or read in pieces."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.config import StreamConfig
from adtally.event import Event, Heartbeat, Opening, decode_event_lines
from adtally.stream.stream import Stream
from support.counts import Counts, InstantPump, MemoryLive, expected_counts
from support.memory_log import MemoryDeadLetters, MemoryLog

WINDOW_MS, LATENESS_MS = 120_000, 60_000
CONFIG = StreamConfig(dedup_window_ms=WINDOW_MS, lateness_ms=LATENESS_MS, flush_ms=1_000, commit_ms=1)
START_MS = 1_700_000_000_000


Append = tuple[str, int, tuple[Event, ...]]
"""Partition, time of the append, events."""


class History:
    """What edges did, in the order of time. No dataclass: Hypothesis would print all of its fields."""

    def __init__(self, partitions: tuple[str, ...], appends: tuple[Append, ...], end_ms: int) -> None:
        self.partitions = partitions
        self.appends = appends
        self.end_ms = end_ms

    def __repr__(self) -> str:
        lines = [
            f"{appended - START_MS:>8} {partition} "
            + " ".join(f"{e.ts_ms - START_MS}:{e.ad_id}{e.user_id}{e.impression_id or ''}/{e.verdict}" for e in events)
            for partition, appended, events in self.appends
        ]
        return "\n" + "\n".join(lines)

    def expected(self) -> Counts:
        events = [(appended, event) for _, appended, batch in self.appends for event in batch]
        return expected_counts(events, WINDOW_MS, LATENESS_MS)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Few ads, users and impressions, so that duplicates are frequent; gaps from nothing to several windows."""
    rnd = random.Random(draw(st.integers(0, 2**32)))
    partitions = [f"edge-{n}" for n in range(draw(st.integers(1, 3)))]
    gaps_ms = draw(
        st.sampled_from([(0, 1, 40, 900), (900, 7_000, 20_000), (1, 7_000, 45_000, 61_000, 119_999, 120_000)])
    )
    now_ms = START_MS + rnd.randrange(60_000)
    seqs, last_ms = dict.fromkeys(partitions, 0), dict.fromkeys(partitions, START_MS)
    appends: list[Append] = []
    for _ in range(draw(st.integers(1, 80))):
        now_ms += rnd.choice(gaps_ms)
        partition = rnd.choice(partitions)
        # A stalled disk lets events wait for their append while the other edges go on.
        waited_ms = rnd.choice([0, 0, 0, 3, 500, LATENESS_MS, LATENESS_MS + 1])
        last_ms[partition] = max(last_ms[partition], now_ms - waited_ms)
        batch = []
        for _ in range(rnd.choice([1, 1, 2, 5])):
            seqs[partition] += 1
            batch.append(_event(rnd, partition, seqs[partition], last_ms[partition]))
        appends.append((partition, now_ms, tuple(batch)))
    return History(tuple(partitions), tuple(appends), now_ms)


def _event(rnd: random.Random, partition: str, seq: int, ts_ms: int) -> Event:
    ad = rnd.choice(["a", "b"])
    return Event(
        edge_id=f"id-{partition}",
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
    """Write the history, and last a heartbeat of each edge, so that nothing waits for what might still come."""
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)
    beat(log, history.end_ms + 1, history.end_ms + 1)


def beat(log: MemoryLog, now_ms: int, ts_ms: int | None = None) -> None:
    """Let each edge promise that nothing older follows: than its own last event, or than `ts_ms`."""
    for partition, records in log.records.items():
        events = [decode_event_lines(record.payload)[-1] for record in records if record.kind == "events"]
        last_seq, last_ms = (events[-1].seq, events[-1].ts_ms) if events else (0, START_MS)
        log.append_control(partition, Heartbeat(f"id-{partition}", last_seq, ts_ms or last_ms), now_ms)


def begin(history: History) -> tuple[MemoryLog, InstantPump]:
    """Give a log whose readers know all partitions from the start, as the supervisor sees to it, and a store."""
    log = MemoryLog()
    for partition in history.partitions:
        log.append_control(partition, Opening(f"id-{partition}", START_MS), START_MS)
    return log, InstantPump(MemoryLive())


def open_stream(log: MemoryLog, pump: InstantPump, records_max: int = 1_000_000) -> Stream:
    reader = log.reader("stream")
    reader.records_max = records_max
    return Stream(reader, MemoryDeadLetters(), pump, CONFIG)


def run_until_idle(stream: Stream, log: MemoryLog, now_ms: int) -> None:
    """Step until the whole log is read and everything is in the store."""
    ends = {str(partition): str(records[-1].next) for partition, records in log.records.items()}
    for step in range(1_000):
        stream.step(now_ms + step * 1_000)
        if stream.idle and stream.report(now_ms).positions == ends:
            return
    raise AssertionError("the stream does not come to rest")


@given(histories())
def test_the_live_numbers_equal_the_oracles(history: History) -> None:
    log, pump = begin(history)
    write(log, history)
    run_until_idle(open_stream(log, pump), log, history.end_ms)
    assert pump.live.counts() == history.expected()


@given(histories(), st.integers(1, 4))
def test_reading_in_small_pieces_changes_nothing(history: History, records_max: int) -> None:
    log, pump = begin(history)
    write(log, history)
    run_until_idle(open_stream(log, pump, records_max), log, history.end_ms)
    assert pump.live.counts() == history.expected()


@given(histories(), st.integers(0, 2**32))
@settings(max_examples=300)
def test_restarts_while_the_log_grows_change_nothing(history: History, seed: int) -> None:
    rnd = random.Random(seed)
    log, pump = begin(history)
    stream = open_stream(log, pump)
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)
        beat(log, appended_ms)
        if rnd.random() < 0.7:
            stream.step(appended_ms)
        if rnd.random() < 0.3:
            # Killed: nothing but the log, the committed positions and the store is left.
            stream = open_stream(log, pump, rnd.choice([1, 2, 1_000]))
    beat(log, history.end_ms + 1, history.end_ms + 1)
    run_until_idle(stream, log, history.end_ms)
    assert pump.live.counts() == history.expected()


@given(histories())
def test_a_restart_at_every_point_changes_nothing(history: History) -> None:
    log, pump = begin(history)
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)
        beat(log, appended_ms)
        stream = open_stream(log, pump)
        for step in range(3):
            stream.step(appended_ms + step * 1_000)
    beat(log, history.end_ms + 1, history.end_ms + 1)
    run_until_idle(open_stream(log, pump), log, history.end_ms)
    assert pump.live.counts() == history.expected()


@given(histories(), st.lists(st.sampled_from(["ok", "lost", "unsure"]), max_size=20))
def test_lost_and_repeated_deliveries_change_nothing(history: History, fates: list[str]) -> None:
    log, pump = begin(history)
    pump.fates = fates
    write(log, history)
    run_until_idle(open_stream(log, pump, 2), log, history.end_ms)
    assert pump.live.counts() == history.expected()


@given(histories(), st.integers(0, 2**32))
def test_two_streams_at_once_change_nothing(history: History, seed: int) -> None:
    rnd = random.Random(seed)
    log, live = begin(history)[0], MemoryLive()
    streams = [open_stream(log, InstantPump(live), rnd.choice([1, 3])) for _ in range(2)]
    for partition, appended_ms, events in history.appends:
        log.append(partition, events, appended_ms)
        beat(log, appended_ms)
        rnd.choice(streams).step(appended_ms)
        if rnd.random() < 0.1:
            streams[rnd.randrange(2)] = open_stream(log, InstantPump(live))
    beat(log, history.end_ms + 1, history.end_ms + 1)
    for stream in streams:
        run_until_idle(stream, log, history.end_ms)
    assert live.counts() == history.expected()


@given(histories())
def test_the_state_is_bounded_by_window_and_lateness(history: History) -> None:
    log, pump = begin(history)
    write(log, history)
    stream = open_stream(log, pump)
    run_until_idle(stream, log, history.end_ms)
    later_ms = history.end_ms + 3 * (WINDOW_MS + LATENESS_MS)
    probe = Event("id-edge-0", 1 << 31, later_ms, "z", "c", "adv", "u", "mobile", "ok", "", "")
    for partition in list(log.records):
        log.append(partition, [probe], later_ms)
    run_until_idle(stream, log, later_ms)
    report = stream.report(later_ms)
    assert report.dedup_entries <= 1
    assert report.open_cells <= 2


def test_a_store_that_is_away_makes_the_stream_wait_and_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adtally.stream.stream.UNDELIVERED_MAX", 10)
    log, pump = MemoryLog(), InstantPump(MemoryLive())
    for seq in range(1, 101):
        event = Event("e", seq, START_MS + seq, "a", "c", "adv", f"u{seq}", "mobile", "ok", "", "")
        log.append("edge-0", [event], START_MS + seq)
    pump.fates = ["lost"] * 30
    stream = open_stream(log, pump, records_max=1)
    for step in range(60):
        stream.step(START_MS + step * 1_000)
        if step == 29:
            assert 10 <= stream.report(START_MS).events <= 12
    run_until_idle(stream, log, START_MS + 100_000)
    assert sum(clicks for clicks, _ in pump.live.counts().values()) == 100
