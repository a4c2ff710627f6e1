"""Single cases of the stream over partitions in their own order; times are seconds from noon."""

import random

import pytest

from adtally.config import StreamConfig
from adtally.errors import LogError
from adtally.event import Event, encode_event
from adtally.eventlog.port import BEGINNING, Partition, Position, Record, shard_number
from adtally.olap.port import LiveRows
from adtally.stream.outbox import ROWS_MAX
from adtally.stream.partitioned import PartitionedStream, start_anew
from adtally.stream.port import LiveFlush
from support.counts import Counts, InstantPump, MemoryLive
from support.memory_board import MemoryReportBoard
from support.memory_log import MemoryDeadLetters, MemoryLog, MemoryLogReader
from support.memory_olap import MemoryOlap

NOON_MS = 1_795_780_800_000


def at(seconds: float) -> int:
    return NOON_MS + round(seconds * 1_000)


def click(seq: int, ts_s: float, impression: str = "i", user: str = "u", verdict: str = "ok") -> Event:
    return Event("e", seq, at(ts_s), "ad", "c", "adv", user, "mobile", verdict, "", "", impression)


def outcomes(counts: Counts, minute_s: int | None = None) -> dict[str, int]:
    found: dict[str, int] = {}
    for cell, (clicks, _) in counts.items():
        if minute_s is None or cell[3] == NOON_MS // 1_000 + minute_s:
            found[cell[-1]] = found.get(cell[-1], 0) + clicks
    return found


def config(*partitions: int) -> StreamConfig:
    return StreamConfig(flush_ms=1, commit_ms=1, partitions=partitions)


def a_stream(log: MemoryLog, pump: InstantPump, *partitions: int, open_since_ms: int = 0) -> PartitionedStream:
    return PartitionedStream(log.reader("stream"), MemoryDeadLetters(), pump, config(*partitions), open_since_ms)


def test_a_double_click_of_a_clock_that_runs_ahead_is_found_out_after_a_restart_too() -> None:
    log, pump = MemoryLog(), InstantPump(MemoryLive())
    stream = a_stream(log, pump)
    # The first click bears the greatest time that it can have a second before the place of the restart, and the second
    # click is as far from it as a duplicate can be.
    for seq, appended_s, ts_s in [(1, -1, 59), (2, 0, 0), (3, 358, 358), (4, 600, 600)]:
        log.append("clicks-0", [click(seq, ts_s, "i" if seq % 2 else "other")], at(appended_s))
        stream.step(at(appended_s))
    assert log.commits["stream"] == {"clicks-0": "00000001-000000"}
    before = pump.live.counts()
    assert outcomes(before, 300) == {"duplicate": 1}
    a_stream(log, pump).step(at(601))
    assert pump.live.counts() == before


def test_a_partition_that_appears_is_counted_from_its_beginning() -> None:
    log, pump = MemoryLog(), InstantPump(MemoryLive())
    log.append("clicks-0", [click(1, 0)], at(0))
    stream = a_stream(log, pump)
    stream.step(at(900))
    log.append("clicks-1", [click(2, 0, user="v")], at(1))
    stream.step(at(902))
    assert outcomes(pump.live.counts()) == {"counted": 2}
    assert stream.report(at(902)).shards == ("clicks-0", "clicks-1")


def test_everything_is_counted_up_to_lateness_before_the_end_that_was_seen_even_where_nothing_comes() -> None:
    log, pump = MemoryLog(), InstantPump(MemoryLive())
    log.append("clicks-0", [click(1, 0)], at(0))
    log.append("clicks-1", [click(2, 0)], at(0))
    stream = a_stream(log, pump)
    stream.step(at(500))
    assert pump.as_of_ms == at(0 - 120)
    stream.step(at(501))
    assert pump.as_of_ms == at(501 - 10 - 120)


def test_before_all_partitions_were_read_nothing_is_said() -> None:
    class Unreadable(MemoryLogReader):
        def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
            if partition == "clicks-0":
                raise LogError("no leader")
            return super().read(partition, start, bytes_max)

    log, pump = MemoryLog(), InstantPump(MemoryLive())
    log.append("clicks-0", [click(1, 0)], at(0))
    log.append("clicks-1", [click(2, 0)], at(0))
    stream = PartitionedStream(Unreadable(log, "stream"), MemoryDeadLetters(), pump, config())
    for second in range(3):
        with pytest.raises(LogError, match="no leader"):
            stream.step(at(second))
    # The others go on.
    assert outcomes(pump.live.counts()) == {"counted": 1}
    assert pump.as_of_ms == 0


def test_only_partitions_of_clicks_are_read_and_only_its_own() -> None:
    log, pump = MemoryLog(), InstantPump(MemoryLive())
    for name in ("clicks-0", "clicks-1", "clicks-10", "control-0", "import-0"):
        log.append(name, [click(1, 0, user=name)], at(0))
    stream = a_stream(log, pump, 1, 10)
    stream.step(at(1))
    report = stream.report(at(1))
    assert sorted(report.positions) == ["clicks-1", "clicks-10"]
    assert report.shards == ("clicks-0", "clicks-1", "clicks-10")
    assert outcomes(pump.live.counts()) == {"counted": 2}
    assert [shard_number(Partition(name)) for name in ("clicks-12", "clicks-", "clicks-x", "edge-1")] == [12] + [
        None
    ] * 3


def test_what_is_no_event_becomes_a_dead_letter_and_the_rest_is_counted() -> None:
    log, pump, letters = MemoryLog(), InstantPump(MemoryLive()), MemoryDeadLetters()
    log.append("clicks-0", [click(1, 0)], at(0))
    log.append_raw("clicks-0", b'{"edge_id":\n' + encode_event(click(2, 0, user="v")), at(0))
    log.append_raw("clicks-0", b"", at(0))
    log._append("clicks-0", "damaged", b"???", at(0))
    log.append("clicks-0", [click(3, 0, user="w")], at(0))
    stream = PartitionedStream(log.reader("stream"), letters, pump, config())
    stream.step(at(1))
    assert outcomes(pump.live.counts()) == {"counted": 3}
    assert [place[1] for place in sorted(letters.letters)] == ["00000001-000000", "00000002-000000", "00000003-000000"]
    assert stream.report(at(1)).dead_letters == 3


def test_the_first_of_two_copies_counts_whichever_way_the_numbers_came() -> None:
    log, pump, rnd = MemoryLog(), InstantPump(MemoryLive()), random.Random(7)
    numbers = [*range(1, 400), 1 << 62, (1 << 62) + 1, 1 << 70] * 3
    rnd.shuffle(numbers)
    for place, seq in enumerate(numbers):
        log.append(
            "clicks-0", [click(seq, 60, user=f"u{seq}", verdict="bot" if seq % 5 == 0 else "ok")], at(60 + place / 20)
        )
    stream = a_stream(log, pump)
    stream.step(at(200))
    distinct = set(numbers)
    bots = sum(seq % 5 == 0 for seq in distinct)
    assert outcomes(pump.live.counts()) == {"counted": len(distinct) - bots, "bot": bots}
    assert stream.report(at(200)).repeats == 2 * len(distinct)


def test_more_rows_than_one_delivery_takes_are_all_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adtally.stream.outbox.ROWS_MAX", 3)
    sizes: list[int] = []

    class Watched(InstantPump):
        def start(self, flush: LiveFlush) -> None:
            sizes.append(len(flush.rows))
            super().start(flush)

    log, pump = MemoryLog(), Watched(MemoryLive())
    for number in range(4):
        events = [click(seq, seq * 60, user=f"{number}-{seq}") for seq in range(4)]
        log.append(f"clicks-{number}", events, at(120))
    stream = a_stream(log, pump)
    for step in range(10):
        stream.step(at(121 + step))
    assert max(sizes) == 3 < ROWS_MAX
    assert stream.idle
    assert outcomes(pump.live.counts()) == {"counted": 16}


def test_a_start_anew_counts_the_open_hours_again_and_no_others() -> None:
    log, store, board = MemoryLog(), MemoryOlap(), MemoryReportBoard()
    # Two hours before noon is final; a click five minutes before the open hour has a double in it.
    for seq, ts_s in enumerate([-9_000, -3_880, -3_590, 0, 10], 1):
        log.append("clicks-0", [click(seq, ts_s)], at(ts_s))
    wrong = LiveRows(["adv"], ["c"], ["ad"], [NOON_MS // 1_000], ["mobile"], ["counted"], ["clicks-7"], [99], [["x"]])
    store.append_live(wrong)
    log.commits["stream"] = {Partition("clicks-0"): Position("00000004-000000")}
    old = a_stream(log, InstantPump(MemoryLive()))
    old.step(at(20))
    board.note(old.report(at(20)))
    assert board.reports() != []

    start_anew(board, log.commits.clear, store)

    assert (store.rows, board.reports()) == ([], [])
    pump = InstantPump(MemoryLive())
    reader = log.reader("stream")
    reader.records_max = 1
    stream = PartitionedStream(reader, MemoryDeadLetters(), pump, config(), open_since_ms=at(-3_600))
    for second in range(5):
        stream.step(at(20 + second))
    assert outcomes(pump.live.counts(), -3_900) == {}
    assert outcomes(pump.live.counts(), -3_600) == {"duplicate": 1}
    assert outcomes(pump.live.counts(), 0) == {"counted": 1, "duplicate": 1}


def test_a_position_at_the_beginning_is_as_good_as_none() -> None:
    log, pump = MemoryLog(), InstantPump(MemoryLive())
    log.append("clicks-0", [click(1, 0)], at(0))
    log.commits["stream"] = {Partition("clicks-0"): BEGINNING}
    a_stream(log, pump).step(at(20))
    assert outcomes(pump.live.counts()) == {"counted": 1}
