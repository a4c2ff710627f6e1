"""What every event log must hold to, on every adapter. (Kafka and Kinesis join this list with their adapters.)"""

import re
from pathlib import Path

import pytest

from adtally.errors import LogClosedError, LogError
from adtally.event import Closing, Event, Heartbeat, Lost, Opening, decode_control, decode_event_lines, encode_event
from adtally.eventlog.port import BEGINNING, LogReader, LogWriter, Partition, Position, Record
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.writer import SqliteLogWriter

EVENT = Event("e1", 1, 1_000, "ad", "c", "adv", "u", "mobile", "ok", "10.0.0.0/24", "agent")
P = Partition("edge-0")


class SqliteLog:
    """The adapter under test, and how to look behind it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def writer(self, edge_id: str = "e1", partition: Partition = P, segment_bytes: int = 1 << 20) -> LogWriter:
        return SqliteLogWriter.open(self.root, partition, edge_id, 500, segment_bytes)

    def reader(self, name: str = "reader") -> LogReader:
        return SqliteLogReader(self.root, name)


@pytest.fixture(params=[SqliteLog])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteLog:
    adapter: type[SqliteLog] = request.param
    return adapter(tmp_path / "log")


def event(seq: int, edge_id: str = "e1") -> bytes:
    return encode_event(Event(edge_id, seq, 1_000 + seq, "ad", "c", "adv", "u", "mobile", "ok", "", "agent"))


def read_all(reader: LogReader, start: Position = BEGINNING, partition: Partition = P) -> list[Record]:
    records: list[Record] = []
    while found := reader.read(partition, start, 1):
        records += found
        start = found[-1].next
    return records


def seqs(records: list[Record]) -> list[int]:
    return [e.seq for r in records if r.kind == "events" for e in decode_event_lines(r.payload)[r.skip :]]


def controls(records: list[Record]) -> list[object]:
    return [decode_control(r.payload) for r in records if r.kind == "control"]


def test_batches_come_back_in_order_with_the_time_of_their_append(log: SqliteLog) -> None:
    writer = log.writer()
    writer.append([event(1), event(2)], 2_000)
    writer.append_control(Heartbeat("e1", 2, 2_100), 2_100)
    writer.append([event(3)], 2_200)
    records = read_all(log.reader())
    assert seqs(records) == [1, 2, 3]
    assert [r.appended_ms for r in records if r.kind == "events"] == [2_000, 2_200]
    assert controls(records) == [Opening("e1", 500), Heartbeat("e1", 2, 2_100)]
    writer.close(None, 3_000)


def test_a_batch_and_the_records_behind_it_come_back_in_order(log: SqliteLog) -> None:
    writer = log.writer()
    lost = [Lost("e1", 2, 2, 2_000), Lost("e1", 4, 7, 2_000)]
    writer.append_together([event(1), event(3)], lost, 2_000)
    writer.append_together([], [Lost("e1", 8, 8, 2_000)], 2_000)
    writer.append([event(9)], 2_100)
    records = read_all(log.reader())
    assert [record.kind for record in records] == ["control", "events", *["control"] * 3, "events"]
    assert seqs(records) == [1, 3, 9]
    assert controls(records)[1:] == [*lost, Lost("e1", 8, 8, 2_000)]
    writer.close(None, 3_000)


def test_a_reader_sees_what_is_appended_after_it_reached_the_end(log: SqliteLog) -> None:
    writer, reader = log.writer(), log.reader()
    end = read_all(reader)[-1].next
    assert reader.read(P, end, 1_000) == []
    writer.append([event(1)], 2_000)
    assert seqs(reader.read(P, end, 1_000)) == [1]
    writer.close(None, 3_000)


def test_positions_ascend_as_bytes_and_are_safe_in_a_file_name(log: SqliteLog) -> None:
    writer, reader = log.writer(segment_bytes=200), log.reader()
    for n in range(40):
        writer.append([event(2 * n + 1), event(2 * n + 2)], 2_000)
    records = [r for r in read_all(reader) if r.kind == "events"]
    positions = [reader.position_of(r, index) for r in records for index in range(2)]
    assert positions == sorted(positions)
    assert len(set(positions)) == 80
    assert all(re.fullmatch(r"[0-9A-Za-z._-]{1,100}", position) for position in positions)
    writer.close(None, 3_000)


def test_a_read_from_inside_a_batch_skips_what_lies_before(log: SqliteLog) -> None:
    writer, reader = log.writer(), log.reader()
    writer.append([event(1), event(2), event(3)], 2_000)
    writer.append([event(4)], 2_000)
    batch = next(r for r in read_all(reader) if r.kind == "events")
    for index in range(3):
        assert seqs(read_all(reader, reader.position_of(batch, index))) == list(range(index + 1, 5))
    assert seqs(read_all(reader, batch.next)) == [4]
    writer.close(None, 3_000)


def test_a_batch_from_a_position_inside_it_gives_the_same_positions_again(log: SqliteLog) -> None:
    writer, reader = log.writer(), log.reader()
    writer.append([event(1), event(2), event(3)], 2_000)
    whole = next(r for r in read_all(reader) if r.kind == "events")
    part = reader.read(P, reader.position_of(whole, 1), 1_000)[0]
    assert reader.position_of(part, part.skip) == reader.position_of(whole, 1)
    writer.close(None, 3_000)


def test_growing_over_many_segments_loses_nothing(log: SqliteLog) -> None:
    writer, reader = log.writer(segment_bytes=1_000), log.reader()
    for seq in range(1, 101):
        writer.append([event(seq)], 2_000)
    assert seqs(read_all(reader)) == list(range(1, 101))
    writer.close(None, 3_000)


def test_commits_are_kept_by_reader_and_partition(log: SqliteLog) -> None:
    log.writer().close(None, 1_000)
    log.reader("a").commit({P: Position("1"), Partition("edge-1"): Position("2")})
    log.reader("b").commit({P: Position("3")})
    log.reader("a").commit({P: Position("4")})
    assert log.reader("a").committed() == {P: "4", "edge-1": "2"}
    assert log.reader("b").committed() == {P: "3"}
    assert log.reader("c").committed() == {}


def test_partitions_are_listed_sorted(log: SqliteLog) -> None:
    assert log.reader().partitions() == []
    for name in ("edge-1", "edge-0"):
        log.writer(partition=Partition(name)).close(None, 1_000)
    assert log.reader().partitions() == ["edge-0", "edge-1"]


def test_a_closed_writer_refuses(log: SqliteLog) -> None:
    writer = log.writer()
    writer.close(Closing("e1", 0, 900), 900)
    writer.close(Closing("e1", 0, 900), 900)
    with pytest.raises(LogClosedError):
        writer.append([event(1)], 2_000)
    assert controls(read_all(log.reader())) == [Opening("e1", 500), Closing("e1", 0, 900)]


def test_a_successor_closes_the_log_of_an_edge_that_vanished(log: SqliteLog) -> None:
    first = log.writer("e1")
    first.append([event(1), event(2)], 2_000)
    first.close(None, 3_000)
    log.writer("e2").close(None, 3_000)
    log.writer("e3").close(None, 3_000)
    assert controls(read_all(log.reader())) == [
        Opening("e1", 500),
        Closing("e1", 2, 1_002),
        Opening("e2", 500),
        Closing("e2", 0, 500),
        Opening("e3", 500),
    ]


def test_a_successor_does_not_close_twice(log: SqliteLog) -> None:
    log.writer("e1").close(Closing("e1", 0, 900), 900)
    log.writer("e2").close(None, 3_000)
    closings = [c for c in controls(read_all(log.reader())) if isinstance(c, Closing)]
    assert closings == [Closing("e1", 0, 900)]


def test_two_writers_of_one_partition_cannot_be(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adtally.eventlog.sqlite.writer.LOCK_WAIT_S_MAX", 0.1)
    writer = log.writer()
    with pytest.raises(LogError, match="still written by another"):
        log.writer("e2")
    writer.append([event(1)], 2_000)
    writer.close(None, 3_000)
