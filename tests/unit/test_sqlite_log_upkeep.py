"""Retention and checkpoints of the SQLite log."""

from pathlib import Path

import pytest

from adtally.errors import PositionGoneError
from adtally.eventlog.port import BEGINNING, Partition, Position
from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.segment import segment_path
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from support.sqlite_log import BIG, P, event, read_all, seqs


def _three_segments(root: Path) -> list[Position]:
    writer = SqliteLogWriter.open(root, P, "e1", 500, 1)
    for seq in (1, 2, 3):
        writer.append([event(seq)], 1_000 * seq)
    writer.close(None, 3_000)
    return [record.at for record in read_all(SqliteLogReader(root, "r"))]


def test_nothing_is_removed_that_a_declared_reader_has_not_passed(tmp_path: Path) -> None:
    positions = _three_segments(tmp_path)
    SqliteLogReader(tmp_path, "stream").commit({P: positions[-1]})
    assert remove_expired(tmp_path, lambda _: ("archiver", "stream"), before_ms=BIG) == []
    SqliteLogReader(tmp_path, "archiver").commit({P: positions[2]})
    removed = remove_expired(tmp_path, lambda _: ("archiver", "stream"), before_ms=BIG)
    assert [path.name for path in removed] == ["00000001.segment", "00000002.segment"]
    assert seqs(read_all(SqliteLogReader(tmp_path, "r"))) == [2, 3]


def test_nothing_is_removed_before_its_time(tmp_path: Path) -> None:
    positions = _three_segments(tmp_path)
    SqliteLogReader(tmp_path, "stream").commit({P: positions[-1]})
    assert remove_expired(tmp_path, lambda _: ("stream",), before_ms=1_000) == [segment_path(tmp_path / P, 1)]


def test_a_folder_is_synced_only_for_what_was_removed_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    positions = _three_segments(tmp_path)
    SqliteLogWriter.open(tmp_path, Partition("edge-1"), "e1", 500, 1).close(None, 3_000)
    SqliteLogReader(tmp_path, "stream").commit({P: positions[-1]})
    synced: list[Path] = []
    monkeypatch.setattr("adtally.eventlog.sqlite.janitor.sync_folder", synced.append)
    assert remove_expired(tmp_path, lambda _: ("stream",), before_ms=BIG)
    assert synced == [tmp_path / P]


def test_a_position_that_was_removed_stops_its_reader(tmp_path: Path) -> None:
    positions = _three_segments(tmp_path)
    SqliteLogReader(tmp_path, "stream").commit({P: positions[-1]})
    remove_expired(tmp_path, lambda _: ("stream",), before_ms=BIG)
    with pytest.raises(PositionGoneError, match="removed before they were read"):
        SqliteLogReader(tmp_path, "r").read(P, positions[0], 1_000)


def test_checkpointing_while_a_reader_reads_loses_nothing(tmp_path: Path) -> None:
    writer = SqliteLogWriter.open(tmp_path, P, "e1", 500, 2_000)
    reader = SqliteLogReader(tmp_path, "r")
    found: list[int] = []
    start = BEGINNING
    for seq in range(1, 80):
        writer.append([event(seq)], 2_000)
        if seq % 5 == 0:
            checkpoint_finished(tmp_path)
        records = reader.read(P, start, 1)
        start = records[-1].next if records else start
        found += seqs(records)
    while records := reader.read(P, start, 1):
        start = records[-1].next
        found += seqs(records)
    assert found == list(range(1, 80))
    writer.close(None, 3_000)
