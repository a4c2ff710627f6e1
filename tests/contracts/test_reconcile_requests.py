"""Requests for passes: the contract of the book that the API and the reconciler share."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from adtally.errors import NotFoundError
from adtally.ledger import schema
from adtally.reconcile.passes import PassReport, Wanted
from adtally.reconcile.requests import REMEMBERED_MAX, MemoryRequests, RegularPass, RequestBook
from adtally.reconcile.requests_sql import SqlRequests
from adtally.sqldb import SqlDatabase
from support.databases import postgres_url, sqlite_file
from support.ledger_lines import line

Opened = Callable[[], RequestBook]
REPORT = PassReport((line(3_600_000),), (7_200_000,), (), ("2026-11-27T10: gone",), 10_800_000, "waits for nobody")


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def reopen(request: pytest.FixtureRequest) -> Iterator[Opened]:
    if request.param == "memory":
        book = MemoryRequests()
        yield lambda: book
        return
    place = sqlite_file(request) if request.param == "sqlite" else postgres_url(request)
    opened: list[SqlDatabase] = []

    def open_again() -> RequestBook:
        opened.append(SqlDatabase.open(place, "ledger", schema.MIGRATIONS))
        return SqlRequests(opened[-1])

    yield open_again
    for database in opened:
        database.close()


def test_a_request_is_found_by_whoever_serves_it(reopen: Opened) -> None:
    asked = reopen().add(Wanted(hour_ms=3_600_000, dry_run=True), 5)
    assert reopen().unfinished() == [asked]
    assert (asked.number, asked.asked_ms, asked.state) == (1, 5, "waits for the archiver")


def test_what_became_of_a_request_is_found_by_whoever_asked(reopen: Opened) -> None:
    asked = reopen().add(Wanted(), 5)
    served = msgspec.structs.replace(asked, state="runs", hours_done=1, hours_total=3)
    reopen().note(served)
    assert reopen().get(asked.number) == served
    assert reopen().unfinished() == [served]
    done = msgspec.structs.replace(served, state="done", report=REPORT)
    reopen().note(done)
    assert reopen().get(asked.number) == done
    assert reopen().unfinished() == []


def test_numbers_go_up_and_the_oldest_requests_are_forgotten(reopen: Opened) -> None:
    book = reopen()
    numbers = [book.add(Wanted(), 5).number for _ in range(REMEMBERED_MAX + 2)]
    assert numbers == sorted(set(numbers))
    for gone in (*numbers[:2], numbers[-1] + 1, 0, -1):
        with pytest.raises(NotFoundError):
            book.get(gone)
    assert [request.number for request in book.unfinished()] == numbers[2:]


def test_a_note_about_a_forgotten_request_does_not_bring_it_back(reopen: Opened) -> None:
    book = reopen()
    first = book.add(Wanted(), 5)
    for _ in range(REMEMBERED_MAX):
        book.add(Wanted(), 5)
    book.note(msgspec.structs.replace(first, state="done"))
    with pytest.raises(NotFoundError):
        book.get(first.number)


def test_the_newest_regular_pass_is_remembered(reopen: Opened) -> None:
    assert reopen().last_pass() is None
    reopen().note_pass(RegularPass(5, REPORT, None))
    newest = RegularPass(9, REPORT, "the lake is away")
    reopen().note_pass(newest)
    assert reopen().last_pass() == newest
    assert reopen().unfinished() == []
