"""Every board of streams' reports (stream/port.py)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adtally.ledger.board import SqlReportBoard
from adtally.stream.port import ReportBoard, ShardReport, StreamReport
from support.databases import postgres_url, sqlite_file
from support.memory_board import MemoryReportBoard

Reopen = Callable[[], ReportBoard]
"""Opens the same board anew, as another process would."""


def sqlite(request: pytest.FixtureRequest) -> Reopen:
    file = sqlite_file(request)
    return lambda: SqlReportBoard.open(file)


def postgres(request: pytest.FixtureRequest) -> Reopen:
    url = postgres_url(request)
    return lambda: SqlReportBoard.open(url)


def memory(_: pytest.FixtureRequest) -> Reopen:
    board = MemoryReportBoard()
    return lambda: board


@pytest.fixture(params=[sqlite, memory, pytest.param(postgres, marks=pytest.mark.servers)])
def reopen(request: pytest.FixtureRequest) -> Iterator[Reopen]:
    opened: list[Any] = []
    make = request.param(request)

    def open_again() -> ReportBoard:
        opened.append(make())
        return opened[-1]  # type: ignore[no-any-return]

    yield open_again
    for board in opened:
        board.close()


def report(as_of_ms: int, *shards: str, events: int = 1) -> StreamReport:
    positions = dict.fromkeys(shards, f"{as_of_ms:04}")
    return StreamReport(as_of_ms, as_of_ms + 9, events, 1, 2, 3, 4, 5, positions, 6, ("clicks-0", "clicks-1"))


def test_a_new_board_knows_nothing(reopen: Reopen) -> None:
    assert reopen().reports() == []


def test_the_reports_of_several_streams_are_there_for_every_process(reopen: Reopen) -> None:
    first, second = report(5, "clicks-1", "clicks-10"), report(7, "clicks-0")
    reopen().note(first)
    reopen().note(second)
    assert reopen().reports() == [
        ShardReport("clicks-0", 7, second),
        ShardReport("clicks-1", 5, first),
        ShardReport("clicks-10", 5, first),
    ]


def test_a_stream_that_restarts_and_replays_takes_nothing_back(reopen: Reopen) -> None:
    board = reopen()
    board.note(report(9, "clicks-0"))
    again = report(4, "clicks-0", events=2)
    board.note(again)
    assert board.reports() == [ShardReport("clicks-0", 9, again)]
    board.note(report(10, "clicks-0"))
    assert board.reports()[0].as_of_ms == 10


def test_a_shard_that_went_to_another_stream_has_that_ones_report(reopen: Reopen) -> None:
    board = reopen()
    board.note(report(5, "clicks-0", "clicks-1"))
    later = report(6, "clicks-1")
    board.note(later)
    assert [each.report.positions for each in board.reports()] == [
        {"clicks-0": "0005", "clicks-1": "0005"},
        {"clicks-1": "0006"},
    ]


def test_a_report_of_no_shard_changes_nothing(reopen: Reopen) -> None:
    board = reopen()
    board.note(report(5))
    assert board.reports() == []


def test_what_is_forgotten_is_gone_for_every_process(reopen: Reopen) -> None:
    board, other = reopen(), reopen()
    board.note(report(5, "clicks-0"))
    other.forget()
    assert (board.reports(), other.reports()) == ([], [])
    board.note(report(3, "clicks-0"))
    assert other.reports()[0].as_of_ms == 3
