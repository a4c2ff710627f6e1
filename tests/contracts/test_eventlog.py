"""What every event log must hold to, on every adapter. (Kinesis joins this list with its adapter.)"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from adtally.errors import LogClosedError, LogError
from adtally.event import Closing, Event, Heartbeat, Lost, Opening, decode_control, decode_event_lines, encode_event
from adtally.eventlog.port import BEGINNING, LogReader, Partition, Position, Record
from support.logs_under_test import OPENED_MS, KafkaLog, LogUnderTest, SpoolOverMemory, SqliteLog

LONG_AGO_MS = 1_700_000_000_000


@pytest.fixture(params=[SqliteLog, SpoolOverMemory, pytest.param(KafkaLog, marks=pytest.mark.servers)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogUnderTest]:
    made: LogUnderTest = request.param(tmp_path, request.getfixturevalue)
    yield made
    made.close()


def event(seq: int, edge_id: str = "e1") -> bytes:
    return encode_event(Event(edge_id, seq, 1_000 + seq, "ad", "c", "adv", "u", "mobile", "ok", "", "agent"))


def read_partition(reader: LogReader, partition: Partition, start: Position = BEGINNING) -> list[Record]:
    records: list[Record] = []
    while found := reader.read(partition, start, 1):
        records += found
        start = found[-1].next
    return records


def read_all(log: LogUnderTest, reader: LogReader | None = None) -> list[Record]:
    reader = reader or log.reader()
    apart = [log.controls_in] if log.controls_in != log.events_in else []
    return [record for partition in [log.events_in, *apart] for record in read_partition(reader, partition)]


def events(log: LogUnderTest, reader: LogReader, start: Position = BEGINNING) -> list[Record]:
    return [record for record in read_partition(reader, log.events_in, start) if record.kind == "events"]


def seqs(records: list[Record]) -> list[int]:
    return [e.seq for r in records if r.kind == "events" for e in decode_event_lines(r.payload)[r.skip :]]


def controls(records: list[Record]) -> list[object]:
    return [decode_control(r.payload) for r in records if r.kind == "control"]


def test_batches_come_back_in_order_with_the_time_of_their_append(log: LogUnderTest) -> None:
    writer = log.writer()
    writer.append([event(1), event(2)], 2_000)
    writer.append_control(Heartbeat("e1", 2, 2_100), 2_100)
    writer.append([event(3)], 2_200)
    records = read_all(log)
    assert seqs(records) == [1, 2, 3]
    times = [r.appended_ms for r in records if r.kind == "events"]
    assert times == sorted(times) if log.stamps else times == [2_000, 2_200]
    assert times[0] > LONG_AGO_MS or not log.stamps
    assert controls(records) == [Opening("e1", OPENED_MS), Heartbeat("e1", 2, 2_100)]
    writer.close(None, 3_000)


def test_a_batch_and_the_records_behind_it_come_back_in_order(log: LogUnderTest) -> None:
    writer = log.writer()
    lost = [Lost("e1", 2, 2, 2_000), Lost("e1", 4, 7, 2_000)]
    writer.append_together([event(1), event(3)], lost, 2_000)
    writer.append_together([], [Lost("e1", 8, 8, 2_000)], 2_000)
    writer.append([event(9)], 2_100)
    records = read_all(log)
    if log.controls_in == log.events_in:
        assert [record.kind for record in records] == ["control", "events", *["control"] * 3, "events"]
    assert seqs(records) == [1, 3, 9]
    assert controls(records)[1:] == [*lost, Lost("e1", 8, 8, 2_000)]
    writer.close(None, 3_000)


def test_a_reader_sees_what_is_appended_after_it_reached_the_end(log: LogUnderTest) -> None:
    writer, reader = log.writer(), log.reader()
    writer.append([event(1)], 2_000)
    end = events(log, reader)[-1].next
    for seq in range(2, 6):
        assert reader.read(log.events_in, end, 1_000) == []
        writer.append([event(seq)], 2_000)
        found = reader.read(log.events_in, end, 1_000)
        assert seqs(found) == [seq]
        end = found[-1].next
    writer.close(None, 3_000)


def test_positions_ascend_as_bytes_and_are_safe_in_a_file_name(log: LogUnderTest) -> None:
    writer, reader = log.writer(segment_bytes=200), log.reader()
    for n in range(40):
        writer.append([event(2 * n + 1), event(2 * n + 2)], 2_000)
    found = events(log, reader)
    positions = [reader.position_of(r, index) for r in found for index in range(r.payload.count(b"\n") + 1)]
    assert positions == sorted(positions)
    assert len(set(positions)) == 80
    assert all(re.fullmatch(r"[0-9A-Za-z._-]{1,100}", position) for position in positions)
    writer.close(None, 3_000)


def test_a_read_from_inside_a_batch_skips_what_lies_before(log: LogUnderTest) -> None:
    writer, reader = log.writer(), log.reader()
    writer.append([event(1), event(2), event(3)], 2_000)
    writer.append([event(4)], 2_000)
    batch = events(log, reader)[0]
    for index in range(batch.payload.count(b"\n") + 1):
        assert seqs(events(log, reader, reader.position_of(batch, index))) == list(range(index + 1, 5))
    assert seqs(events(log, reader, batch.next)) == list(range(seqs([batch])[-1] + 1, 5))
    writer.close(None, 3_000)


def test_a_batch_from_a_position_inside_it_gives_the_same_positions_again(log: LogUnderTest) -> None:
    writer, reader = log.writer(), log.reader()
    writer.append([event(1), event(2), event(3)], 2_000)
    whole = next(r for r in events(log, reader) if b"\n" in r.payload)
    part = reader.read(log.events_in, reader.position_of(whole, 1), 1_000)[0]
    assert reader.position_of(part, part.skip) == reader.position_of(whole, 1)
    writer.close(None, 3_000)


def test_growing_over_many_segments_loses_nothing(log: LogUnderTest) -> None:
    writer, reader = log.writer(segment_bytes=1_000), log.reader()
    for seq in range(1, 101):
        writer.append([event(seq)], 2_000)
    assert seqs(events(log, reader)) == list(range(1, 101))
    writer.close(None, 3_000)


def test_commits_are_kept_by_reader_and_partition(log: LogUnderTest) -> None:
    for worker in range(2):
        writer = log.writer(worker=worker)
        writer.append([event(seq) for seq in range(1, 5)], 1_000)
        writer.close(None, 1_000)
    one, other = (Partition(name) for name in log.partitions[:2])
    found = events(log, log.reader())[0]
    first, *_, last = found.at, found.next
    log.reader("a").commit({one: first, other: first})
    log.reader("b").commit({one: last})
    log.reader("a").commit({one: last})
    assert log.reader("a").committed() == {one: last, other: first}
    assert log.reader("b").committed() == {one: last}
    assert log.reader("c").committed() == {}


def test_partitions_are_listed_sorted(log: LogUnderTest) -> None:
    assert log.reader().partitions() == []
    for worker in (1, 0):
        log.writer(worker=worker).close(None, 1_000)
    assert log.reader().partitions() == list(log.partitions)


def test_a_closed_writer_refuses(log: LogUnderTest) -> None:
    writer = log.writer()
    writer.close(Closing("e1", 0, 900), 900)
    writer.close(Closing("e1", 0, 900), 900)
    with pytest.raises(LogClosedError):
        writer.append([event(1)], 2_000)
    assert controls(read_all(log)) == [Opening("e1", OPENED_MS), Closing("e1", 0, 900)]


@pytest.mark.parametrize("log", [SqliteLog], indirect=True)
def test_a_successor_closes_the_log_of_an_edge_that_vanished(log: LogUnderTest) -> None:
    first = log.writer("e1")
    first.append([event(1), event(2)], 2_000)
    first.close(None, 3_000)
    log.writer("e2").close(None, 3_000)
    log.writer("e3").close(None, 3_000)
    assert controls(read_all(log)) == [
        Opening("e1", OPENED_MS),
        Closing("e1", 2, 1_002),
        Opening("e2", 500),
        Closing("e2", 0, 500),
        Opening("e3", 500),
    ]


@pytest.mark.parametrize("log", [SqliteLog], indirect=True)
def test_a_successor_does_not_close_twice(log: LogUnderTest) -> None:
    log.writer("e1").close(Closing("e1", 0, 900), 900)
    log.writer("e2").close(None, 3_000)
    closings = [c for c in controls(read_all(log)) if isinstance(c, Closing)]
    assert closings == [Closing("e1", 0, 900)]


@pytest.mark.parametrize("log", [SqliteLog], indirect=True)
def test_two_writers_of_one_partition_cannot_be(log: LogUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adtally.eventlog.sqlite.writer.LOCK_WAIT_S_MAX", 0.1)
    writer = log.writer()
    with pytest.raises(LogError, match="still written by another"):
        log.writer("e2")
    writer.append([event(1)], 2_000)
    writer.close(None, 3_000)
