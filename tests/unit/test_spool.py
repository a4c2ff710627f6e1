"""What the spool keeps, when it is asked, and what a later start makes of it."""

from pathlib import Path

import pytest

from adtally.errors import LogError
from adtally.event import (
    Closing,
    Heartbeat,
    Lost,
    Opening,
)
from adtally.eventlog.spool.drainer import SpoolDrainer
from adtally.eventlog.spool.store import SpoolStore
from adtally.eventlog.sqlite.reader import SqliteLogReader
from support.spool_host import Host, P, Start, event


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_while_the_log_takes_appends_nothing_is_spooled(host: Host) -> None:
    start = host.start()
    start.writer.append([event(1)], 2_000)
    assert host.seqs() == [1]
    assert (start.writer.away, start.writer.spooled_bytes) == (False, 0)
    start.die()


def test_what_the_log_refuses_is_kept_and_comes_into_the_log_later_in_its_order(host: Host) -> None:
    start = host.start()
    start.set_away(True)
    for seq in (1, 3, 5):
        start.writer.append([event(seq), event(seq + 1)], 2_000)
    start.writer.append_together([event(7)], [Lost("e1", 8, 9, 2_000)], 2_000)
    start.drain_all()
    assert host.seqs() == []
    start.set_away(False)
    start.drain_all()
    assert host.seqs() == [1, 2, 3, 4, 5, 6, 7]
    assert host.controls() == [Opening("e1", 500), Lost("e1", 8, 9, 2_000)]
    assert start.writer.spooled_bytes == 0
    start.die()


def test_a_log_that_is_known_to_be_away_is_not_asked_by_clicks(host: Host) -> None:
    start = host.start()
    start.set_away(True)
    asked = start.fresh.asked
    for seq in range(1, 10):
        start.writer.append([event(seq)], 2_000)
        start.writer.append_control(Heartbeat("e1", seq, 2_000), 2_000)
    assert start.fresh.asked == asked + 1
    start.die()


def test_once_the_drainer_has_brought_something_into_the_log_clicks_go_there_again(host: Host) -> None:
    start = host.start()
    start.set_away(True)
    start.writer.append([event(1)], 2_000)
    start.set_away(False)
    start.writer.append([event(2)], 2_000)
    assert host.seqs() == []
    start.drainer.step(3_000)
    assert not start.writer.away
    start.writer.append([event(3)], 2_000)
    assert host.seqs() == [1, 2, 3]
    start.die()


def test_a_log_that_refused_only_a_heartbeat_is_tried_again(host: Host) -> None:
    start = host.start()
    start.set_away(True)
    start.writer.append_control(Heartbeat("e1", 0, 2_000), 2_000)
    assert is_away(start)
    start.set_away(False)
    start.drainer.step(3_000)
    assert not is_away(start)
    start.die()


def is_away(start: Start) -> bool:
    return start.writer.away


def test_a_log_that_takes_long_is_not_back_yet(host: Host) -> None:
    start = host.start()
    start.drainer = SpoolDrainer(start.drain, start.writer._store, [], start.writer._backlog, quick_ms=-1)
    start.set_away(True)
    start.writer.append([event(1)], 2_000)
    start.set_away(False)
    start.drainer.step(3_000)
    assert host.seqs() == [1]
    assert start.writer.away
    start.die()


def test_heartbeats_tell_the_oldest_event_that_is_spooled(host: Host) -> None:
    start = host.start()
    start.writer.append([event(1)], 2_000)
    start.set_away(True)
    start.writer.append([event(5), event(6)], 2_000)
    start.writer.append([event(7)], 2_000)
    start.fresh.broken, start.writer._backlog.away = False, False
    start.writer.append_control(Heartbeat("e1", 7, 3_000), 3_000)
    assert host.controls()[-1] == Heartbeat("e1", 7, 3_000, 1_005)
    start.set_away(False)
    start.drain_all()
    start.writer.append_control(Heartbeat("e1", 7, 4_000), 4_000)
    assert host.controls()[-1] == Heartbeat("e1", 7, 4_000, None)
    start.die()


def test_after_a_clock_jump_the_oldest_event_is_not_the_first_one(host: Host) -> None:
    start = host.start()
    start.set_away(True)
    start.writer.append([event(500)], 2_000)
    start.writer.append_control(Closing("e1", 500, 2_000), 1_000)
    start.writer.append_control(Opening("e1b", 1_000), 1_000)
    start.writer.append([event(1, "e1b")], 1_000)
    assert start.writer.oldest_spooled_ts_ms == 1_001
    start.die()


def test_a_first_look_that_fails_does_not_shift_what_is_drained(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    start = host.start()
    start.set_away(True)
    for seq in (1, 2, 3):
        start.writer.append([event(seq)], 2_000)
    real = SqliteLogReader.read
    monkeypatch.setattr(SqliteLogReader, "read", refuse)
    start.drainer.step(3_000)
    monkeypatch.setattr(SqliteLogReader, "read", real)
    start.set_away(False)
    start.drain_all()
    assert host.controls() == [Opening("e1", 500)]
    assert host.seqs() == [1, 2, 3]
    start.die()


def test_a_spool_that_cannot_be_written_does_not_keep_clicks_from_a_log_that_is_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = host.start()
    start.set_away(True)
    monkeypatch.setattr(SpoolStore, "keep", refuse)
    with pytest.raises(LogError):
        start.writer.append([event(1)], 2_000)
    start.set_away(False)
    start.writer.append([event(2)], 2_000)
    assert host.seqs() == [2]
    assert (start.writer.away, start.writer.spooled_bytes) == (False, 0)
    start.die()


def refuse(*_: object) -> None:
    raise LogError("no space left")


def test_a_start_drains_what_an_earlier_one_left_and_then_closes_its_log(host: Host) -> None:
    first = host.start("e1")
    first.set_away(True)
    first.writer.append([event(1), event(2)], 2_000)
    first.die()
    second = host.start("e2", away=True)
    assert second.writer.spooled_bytes > 0
    second.drain_all()
    assert host.controls() == [Opening("e1", 500)]
    second.set_away(False)
    second.drain_all()
    assert host.seqs() == [1, 2]
    assert Closing("e1", 2, 9_000) in host.controls()
    assert Opening("e2", 500) in host.controls()
    assert [folder.name for folder in host.root.iterdir() if folder.is_dir()] == ["e2"]
    second.die()


def test_an_edge_that_vanished_without_spooling_anything_is_closed_too(host: Host) -> None:
    host.start("e1").die()
    second = host.start("e2")
    second.drain_all()
    assert host.controls() == [Opening("e1", 500), Opening("e2", 500), Closing("e1", 0, 9_000)]
    second.die()


def test_an_edge_that_lives_is_not_adopted(host: Host) -> None:
    first, second = host.start("e1"), host.start("e2")
    second.drain_all()
    assert host.controls() == [Opening("e1", 500), Opening("e2", 500)]
    first.die()
    second.die()


def test_an_edge_that_ended_in_order_leaves_nothing(host: Host) -> None:
    start = host.start()
    start.writer.append([event(1)], 2_000)
    start.writer.close(Closing("e1", 1, 3_000), 3_000)
    assert host.controls() == [Opening("e1", 500), Closing("e1", 1, 3_000)]
    assert not [folder for folder in host.root.iterdir() if folder.is_dir()]


def test_a_closing_record_never_overtakes_what_is_spooled(host: Host) -> None:
    first = host.start("e1")
    first.set_away(True)
    first.writer.append([event(1)], 2_000)
    first.fresh.broken, first.writer._backlog.away = False, False
    first.writer.close(Closing("e1", 1, 3_000, retired=True), 3_000)
    assert host.controls() == [Opening("e1", 500)]
    second = host.start("e2")
    second.drain_all()
    kinds = [record.kind for record in host.log.records[P]]
    assert host.seqs() == [1]
    closed = next(n for n, each in enumerate(host.log.records[P]) if b'"closing"' in each.payload)
    assert kinds.index("events") < closed
    second.die()


def test_a_new_edge_id_after_a_clock_jump_is_closed_by_the_next_start_as_well(host: Host) -> None:
    first = host.start("e1")
    first.writer.append_control(Closing("e1", 3, 3_000), 1_000)
    first.writer.append_control(Opening("e1b", 1_000), 1_000)
    first.die()
    second = host.start("e2")
    second.drain_all()
    assert Closing("e1b", 0, 9_000) in host.controls()
    second.die()


def test_no_name_of_an_edge_whose_clock_jumped_is_closed_before_its_events_are_in_the_log(host: Host) -> None:
    first = host.start("e1")
    first.writer.append_control(Closing("e1", 0, 3_000), 1_000)
    first.writer.append_control(Opening("e1b", 1_000), 1_000)
    first.set_away(True)
    first.writer.append([event(1, "e1b")], 1_000)
    first.die()
    # As the drain of an earlier start does, which notes in it how far it came.
    (host.root / "e1" / "touched").touch()
    second = host.start("e2")
    second.drain_all()
    records = [each.payload for each in host.log.records[P]]
    assert host.ids() == {("e1b", 1)}
    (clicked,) = [n for n, each in enumerate(records) if b'"seq":1' in each]
    (closed,) = [n for n, each in enumerate(records) if b'"closing"' in each and b'"e1b"' in each]
    assert clicked < closed
    second.die()


def test_a_folder_that_cannot_be_read_does_not_hold_back_the_others(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.start("e1").die()
    second = host.start("e2", away=True)
    second.writer.append([event(1, "e2")], 2_000)
    second.set_away(False)
    real = SpoolStore.read
    monkeypatch.setattr(
        SpoolStore, "read", lambda store, size: real(store, size) if store.edge_id != "e1" else refuse()
    )
    second.drain_all()
    assert host.seqs() == [1]
    second.die()
