"""Reports of several streams, put together and followed."""

import pytest

from adtally.errors import StoreUnavailableError
from adtally.olap.port import LiveRows, Source
from adtally.serve import progress as progress_module
from adtally.serve.progress import BoardFollower, Progress
from adtally.stream.delivery import WriterSink
from adtally.stream.port import LiveFlush, ShardReport, StreamReport
from adtally.stream.reports import together
from support.embedded import wait_for
from support.memory_board import MemoryReportBoard
from support.memory_olap import MemoryOlap


def report(
    as_of_ms: int, positions: dict[str, str], shards: tuple[str, ...] = ("clicks-0", "clicks-1")
) -> StreamReport:
    return StreamReport(as_of_ms, as_of_ms + 9, 10, 1, 2, 3, 4, 5, positions, 6, shards)


def board_with(*reports: StreamReport) -> MemoryReportBoard:
    board = MemoryReportBoard()
    for each in reports:
        board.note(each)
    return board


def test_streams_are_as_far_as_the_slowest_and_what_they_hold_adds_up() -> None:
    three = ("clicks-0", "clicks-1", "clicks-2")
    board = board_with(report(8, {"clicks-1": "b", "clicks-2": "c"}, three), report(5, {"clicks-0": "a"}, three))
    positions = {"clicks-0": "a", "clicks-1": "b", "clicks-2": "c"}
    assert together(board.reports()) == StreamReport(5, 17, 20, 2, 4, 3, 8, 10, positions, 12, three)


def test_a_shard_that_nobody_reports_holds_all_back() -> None:
    told = together(board_with(report(8, {"clicks-0": "a"})).reports())
    assert told is not None
    assert told.as_of_ms == 0


def test_a_shard_that_the_log_has_no_more_holds_nobody_back() -> None:
    board = board_with(report(5, {"clicks-9": "x"}), report(8, {"clicks-0": "a", "clicks-1": "b"}))
    told = together(board.reports())
    assert told is not None
    assert (told.as_of_ms, sorted(told.positions)) == (8, ["clicks-0", "clicks-1"])


def test_progress_follows_the_board_forwards_and_back_when_the_live_table_was_emptied() -> None:
    board, progress = MemoryReportBoard(), Progress()
    follower = BoardFollower(board, progress)
    follower.look()
    assert progress.as_of_ms is None
    for as_of_ms in (8, 3):
        board.note(report(as_of_ms, {"clicks-0": "a", "clicks-1": "b"}))
        follower.look()
        assert progress.as_of_ms == 8
    board.forget()
    follower.look()
    assert progress.as_of_ms is None
    board.note(report(9, {"clicks-0": "a"}))
    follower.look()
    assert progress.as_of_ms is None
    assert progress.report is not None


class Away(MemoryReportBoard):
    """A board that does not answer."""

    def note(self, report: StreamReport) -> None:
        raise StoreUnavailableError("away")

    def reports(self) -> list[ShardReport]:
        raise StoreUnavailableError("away")


def test_a_board_that_does_not_answer_leaves_what_it_said_last() -> None:
    progress = Progress()
    progress.replace(report(8, {}))
    BoardFollower(Away(), progress).look()
    assert progress.as_of_ms == 8


def test_a_thread_follows_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "ASKED_EVERY_S", 0.01)
    board, progress = MemoryReportBoard(), Progress()
    follower = BoardFollower(board, progress)
    follower.start()
    board.note(report(8, {"clicks-0": "a", "clicks-1": "b"}))
    wait_for(lambda: progress.as_of_ms == 8, 10, "the report is followed")
    follower.close()


def flush(clicks: int) -> LiveFlush:
    rows = LiveRows(["adv"], ["c"], ["ad"], [60], ["mobile"], ["counted"], ["clicks-0"], [clicks], [["u"]])
    return LiveFlush(rows, report(8, {"clicks-0": "a"}))


def test_rows_and_report_arrive_and_a_repeated_delivery_changes_nothing() -> None:
    store, board = MemoryOlap(), MemoryReportBoard()
    sink = WriterSink(store, board)
    for _ in range(2):
        sink.deliver(flush(3))
    cells = store._cells(Source("live", 0, 120_000))
    assert [(clicks, sorted(users)) for _, clicks, users in cells] == [(3, ["u"])]
    assert [each.as_of_ms for each in board.reports()] == [8]


def test_without_its_rows_no_report_is_noted() -> None:
    class Full(MemoryOlap):
        def append_live(self, rows: LiveRows) -> None:
            raise StoreUnavailableError("away")

    board = MemoryReportBoard()
    with pytest.raises(StoreUnavailableError):
        WriterSink(Full(), board).deliver(flush(3))
    assert board.reports() == []


def test_a_ledger_that_is_away_does_not_keep_rows_from_the_store() -> None:
    store = MemoryOlap()
    WriterSink(store, Away()).deliver(flush(3))
    assert len(store.rows) == 1
