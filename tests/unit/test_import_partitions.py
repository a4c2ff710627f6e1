"""Partitions of imports beside those of edges: who reads them, and what holds them."""

from pathlib import Path

from adtally.event import Event, Opening, encode_event
from adtally.eventlog.port import IMPORTS, REPLAYED_LETTERS, Partition, is_import
from adtally.eventlog.sqlite.janitor import remove_expired
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.segment import Place, segment_numbers
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.folder import DataFolder
from adtally.wiring import declared_readers, edge_partition, prepare_logs
from support.import_log import read_log

P = Partition("edge-0")
BIG = 1 << 30


def event(seq: int) -> bytes:
    return encode_event(Event("e1", seq, 1_000 + seq, "ad", "c", "adv", "u", "mobile", "ok", "", "agent"))


def test_imports_are_told_from_edges_by_their_partition() -> None:
    assert [is_import(each) for each in (IMPORTS, REPLAYED_LETTERS, edge_partition(0))] == [True, True, False]


def test_a_partition_is_held_by_its_own_readers_alone(tmp_path: Path) -> None:
    """The stream never reads imports, so they must not wait for it."""
    for partition in (P, IMPORTS):
        writer = SqliteLogWriter.open(tmp_path, partition, "e1", 500, 1)
        for seq in (1, 2):
            writer.append([event(seq)], 1_000)
        writer.close(None, 3_000)
        last = segment_numbers(tmp_path / partition)[-1]
        SqliteLogReader(tmp_path, "archiver").commit({partition: Place(last, 1, 0).position()})
    removed = remove_expired(tmp_path, declared_readers, before_ms=BIG)
    assert {path.parent.name for path in removed} == {IMPORTS}


def test_a_reader_shows_only_the_partitions_that_it_wants(tmp_path: Path) -> None:
    for name in (P, IMPORTS):
        SqliteLogWriter.open(tmp_path, name, "e1", 500, BIG).close(None, 600)
    assert SqliteLogReader(tmp_path, "r", wanted=lambda partition: not is_import(partition)).partitions() == [P]
    assert SqliteLogReader(tmp_path, "r").partitions() == [P, IMPORTS]


def test_a_start_neither_waits_for_an_import_that_goes_on_nor_retires_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.log.mkdir()
    gone = SqliteLogWriter.open(folder.log, Partition("edge-7"), "e7", 500, BIG)
    gone.close(None, 600)
    writer = SqliteLogWriter.open(folder.log, IMPORTS, "import-1", 500, BIG)
    for _ in range(2):
        prepare_logs(folder, 1)
    assert read_log(folder.log, IMPORTS).controls == [Opening("import-1", 500)]
    assert [closing.retired for closing in read_log(folder.log, Partition("edge-7")).closings("e7")] == [True]
    writer.close(None, 600)
