"""What every ledger promises (ledger/port.py)."""

from threading import Barrier, Thread
from typing import Any

import msgspec
import pytest

from adtally.eventlog.port import Partition, Position
from adtally.ledger import port
from adtally.ledger.port import Absence, ArchiveNote, EdgeEvents, EdgeMark, Ledger, LineSummary
from adtally.olap.port import Span
from support.ledger_lines import HOUR_MS, cell, line
from support.ledgers import Opened

H = 495_000 * HOUR_MS
"""Some whole hour."""


def note(position: str, passed_ms: int, partition: str = "edge-0") -> ArchiveNote:
    return ArchiveNote(Partition(partition), Position(position), passed_ms)


def mark(edge_id: str, hour: int, last_seq: int, ts_ms: int, **more: Any) -> EdgeMark:
    return EdgeMark(edge_id, H + hour * HOUR_MS, Partition("edge-0"), last_seq, ts_ms, **more)


def test_an_empty_ledger_knows_nothing(ledger: Ledger) -> None:
    asked: list[object] = [ledger.archive(), ledger.open_edges(), ledger.lines(0, H), ledger.summaries()]
    assert asked == [[], [], [], []]
    assert ledger.line(H) is None
    assert ledger.bounds() is None
    assert ledger.last_commit() == ledger.archive_wanted_ms() == 0


def test_the_archive_only_moves_forward(ledger: Ledger, reopen: Opened) -> None:
    ledger.note_archived([note("0002", 20), note("9", 5, "edge-1")], [], [])
    ledger.note_archived([note("0001", 30)], [], [])
    ledger.note_archived([note("0003", 10), note("0002", 11)], [], [])
    assert ledger.archive() == reopen().archive() == [note("0003", 30), note("9", 5, "edge-1")]


def test_positions_are_compared_as_bytes(ledger: Ledger) -> None:
    for position, reached in (("B", "B"), ("a", "a"), ("C", "a"), ("é", "é"), ("z", "é")):
        ledger.note_archived([note(position, 1)], [], [])
        assert ledger.archive() == [note(reached, 1)]


def test_of_several_marks_of_an_edge_and_hour_the_greatest_numbers_count(ledger: Ledger) -> None:
    ledger.note_archived([], [mark("e", 0, 10, 100, oldest_spooled_ts_ms=90)], [])
    ledger.note_archived([], [mark("e", 0, 8, 80, closed=True), mark("e", 0, 12, 120), mark("e", 0, 1, 1)], [])
    assert ledger.marks_of_hour(H) == [mark("e", 0, 12, 120, closed=True)]


def test_an_older_mark_does_not_bring_back_what_was_spooled(ledger: Ledger) -> None:
    ledger.note_archived([], [mark("e", 0, 10, 100)], [])
    for last_seq, ts_ms in ((9, 90), (10, 90), (9, 100)):
        ledger.note_archived([], [mark("e", 0, last_seq, ts_ms, oldest_spooled_ts_ms=50)], [])
        assert ledger.marks_of_hour(H) == [mark("e", 0, 10, 100)]
    ledger.note_archived([], [mark("e", 0, 10, 101, oldest_spooled_ts_ms=60)], [])
    assert ledger.marks_of_hour(H) == [mark("e", 0, 10, 101, oldest_spooled_ts_ms=60)]


def test_repeating_a_note_changes_nothing(ledger: Ledger) -> None:
    told = (
        [note("1", 1)],
        [mark("e", 0, 1, 1, closed=True), mark("f", 0, 2, 2, oldest_spooled_ts_ms=1)],
        [Absence("e", 3, 4, "lost", 5)],
    )
    for _ in range(3):
        ledger.note_archived(*told)
    assert (ledger.archive(), ledger.marks_of_hour(H), ledger.absences(["e"])) == told


def test_marks_are_the_newest_before_an_hour(ledger: Ledger) -> None:
    ledger.note_archived([], [mark("e", hour, hour, hour) for hour in range(5)] + [mark("f", 1, 1, 1)], [])
    ledger.note_archived([], [mark("g", 4, 1, 1)], [])
    asked = ["g", "f", "e", "stranger", "e"]
    assert ledger.marks(asked, H + 3 * HOUR_MS) == [mark("e", 2, 2, 2), mark("f", 1, 1, 1)]
    assert ledger.marks([], H + 3 * HOUR_MS) == []


def test_an_edge_is_open_until_any_of_its_marks_says_closed(ledger: Ledger) -> None:
    ledger.note_archived([], [mark("open", 0, 1, 1), mark("open", 1, 2, 2), mark("b", 0, 1, 1)], [])
    ledger.note_archived([], [mark("shut", 0, 1, 1, closed=True), mark("shut", 1, 1, 1)], [])
    assert ledger.open_edges() == [mark("b", 0, 1, 1), mark("open", 1, 2, 2)]


def test_absences_are_those_of_the_edges(ledger: Ledger) -> None:
    found = [Absence("a", 1, 1, "bad row", 9), Absence("a", 5, 9, "lost", 1), Absence("b'\"", 1, 2, "dead letter", 2)]
    ledger.note_archived([], [], [found[2], found[1], found[0], Absence("c", 1, 1, "lost", 1)])
    assert ledger.absences(["b'\"", "a"]) == found


def test_the_latest_wish_for_the_archive_counts(ledger: Ledger, reopen: Opened) -> None:
    for wanted_ms in (5, 9, 7):
        ledger.want_archived(wanted_ms)
    assert reopen().archive_wanted_ms() == 9


def test_a_line_is_given_back_as_it_was_written_with_its_number(ledger: Ledger, reopen: Opened) -> None:
    written = line(
        H, kind="second pass", state="damaged", revision=3, keys_differed=4, difference=9, missing=2, late=5,
        previous={}, final={"counted": 1 << 40}, note="edge 'é' vanished;\nrestore it", engine="chdb",
    )  # fmt: skip
    assert ledger.write(written) == 1
    expected = msgspec.structs.replace(written, commit=1)
    assert reopen().line(H) == expected
    assert reopen().history(H) == reopen().lines(H, H + 1) == [expected]


def test_the_newest_line_of_an_hour_is_its_state(ledger: Ledger) -> None:
    for hour, revision in ((2, 1), (0, 1), (2, 2), (1, 1), (0, 2), (2, 3)):
        ledger.write(line(H + hour * HOUR_MS, revision=revision))
    assert [(found.commit, found.revision) for found in ledger.lines(H, H + 3 * HOUR_MS)] == [(5, 2), (4, 1), (6, 3)]
    assert [found.commit for found in ledger.history(H + 2 * HOUR_MS)] == [1, 3, 6]
    newest = ledger.line(H)
    assert newest is not None
    assert newest.commit == 5


def test_lines_are_those_that_begin_in_the_range_and_no_more_than_the_limit(ledger: Ledger) -> None:
    for hour in range(6):
        ledger.write(line(H + hour * HOUR_MS))
        ledger.write(line(H + hour * HOUR_MS))
    found = ledger.lines(H + HOUR_MS, H + 5 * HOUR_MS)
    assert [at.hour_ms for at in found] == [H + hour * HOUR_MS for hour in (1, 2, 3, 4)]
    assert ledger.lines(H + HOUR_MS, H + 5 * HOUR_MS, limit=2) == found[:2]
    assert ledger.lines(H + 1, H + HOUR_MS) == []


def test_numbers_of_lines_ascend_and_the_last_is_known(ledger: Ledger, reopen: Opened) -> None:
    numbers = [ledger.write(line(H)), reopen().write(line(H + HOUR_MS)), ledger.write(line(H))]
    assert numbers == sorted(set(numbers))
    assert reopen().last_commit() == numbers[-1]


def test_bounds_are_the_first_and_the_last_hour(ledger: Ledger) -> None:
    for hour in (3, 9, 5):
        ledger.write(line(H + hour * HOUR_MS))
    assert ledger.bounds() == (H + 3 * HOUR_MS, H + 9 * HOUR_MS)


def test_summaries_tell_what_is_new(ledger: Ledger) -> None:
    ledger.write(line(H, missing=3, difference=4))
    ledger.write(line(H, state="open", revision=2))
    assert ledger.summaries() == [LineSummary(1, H, "final", 1, 3, 4), LineSummary(2, H, "open", 2, 0, 0)]
    assert ledger.summaries(after=1) == [LineSummary(2, H, "open", 2, 0, 0)]
    assert ledger.summaries(after=2) == []


def test_a_touched_line_stays_the_same_line(ledger: Ledger) -> None:
    ledger.write(line(H, files="old"))
    ledger.write(line(H, files="old", revision=2))
    ledger.touch(H, "new")
    assert [(found.files, found.revision) for found in ledger.history(H)] == [("old", 1), ("new", 2)]
    assert ledger.last_commit() == 2
    ledger.touch(H + HOUR_MS, "nothing there")


def test_edges_are_replaced_where_they_are_given(ledger: Ledger) -> None:
    first, second = EdgeEvents("a", 1, 9, 9, "h"), EdgeEvents("b", 4, 4, 1, "i")
    ledger.write(line(H), edges=[second, first])
    ledger.write(line(H))
    assert ledger.edges(H) == [first, second]
    ledger.write(line(H), edges=[second])
    assert ledger.edges(H) == [second]
    ledger.write(line(H), edges=[])
    assert ledger.edges(H) == []


def test_the_last_number_is_that_of_earlier_hours(ledger: Ledger) -> None:
    for hour, last in enumerate((5, 9, 7, 30)):
        ledger.write(
            line(H + hour * HOUR_MS), edges=[EdgeEvents("a", 1, last, 1, "h"), EdgeEvents(f"b{hour}", 1, 1, 1, "")]
        )
    assert ledger.last_seq_before(["a", "b0", "b3", "stranger"], H + 3 * HOUR_MS) == {"a": 9, "b0": 1}
    assert ledger.last_seq_before(["a"], H) == {}


def test_spans_are_kept_replaced_and_forgotten_when_dirty(ledger: Ledger, reopen: Opened) -> None:
    day = 24 * HOUR_MS
    ledger.write(line(H), spans=[Span("minute", H, 3, 5), Span("quarter_hour", H // day * day, 2, 5)])
    ledger.note_spans([Span("day", at * day, 1, at) for at in (3, 1, 2)])
    ledger.note_spans([Span("day", 2 * day, 0, 0), Span("month", 0, 1, 1)])
    assert ledger.spans("day", day, 3 * day) == [Span("day", day, 1, 1), Span("day", 2 * day, 0, 0)]
    ledger.write(line(H), spans=[Span("minute", H, 4, 6)], dirty=[("day", 2 * day), ("month", 0), ("day", 77 * day)])
    assert [span.start_ms for span in reopen().spans("day", 0, H)] == [day, 3 * day]
    assert ledger.spans("month", 0, H) == []
    assert ledger.spans("minute", H, H + 1) == [Span("minute", H, 4, 6)]


@pytest.mark.parametrize(
    ("after", "limit"), [(0, 10), (998, 5), (1_000, 1_000), (1_500, 1_000), (2_499, 9), (2_500, 1), (0, 9_999)]
)
def test_changed_keys_are_given_page_by_page(ledger: Ledger, after: int, limit: int) -> None:
    cells = [cell(number) for number in range(2_500)]
    ledger.write(line(H), changed=[cell(1)])
    commit = ledger.write(line(H), changed=cells)
    assert ledger.changed(commit, after, limit) == cells[after : after + limit]
    assert ledger.changed(commit + 1) == []


def test_more_changed_keys_than_the_greatest_number_are_not_listed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("adtally.ledger.sql", "support.memory_ledger"):
        monkeypatch.setattr(f"{module}.CHANGED_KEYS_MAX", 3)
    assert port.CHANGED_KEYS_MAX == 1_000_000
    commit = ledger.write(line(H), changed=[cell(number) for number in range(5)])
    assert ledger.changed(commit) == [cell(0), cell(1), cell(2)]


def test_the_ledger_answers(ledger: Ledger) -> None:
    ledger.ping()


def test_an_archiver_a_reconciler_and_readers_at_the_same_time_lose_nothing(reopen: Opened) -> None:
    opened = [reopen() for _ in range(4)]
    begin = Barrier(len(opened))
    errors: list[Exception] = []

    def work(number: int, ledger: Ledger) -> None:
        begin.wait()
        try:
            for at in range(30):
                if number == 0:
                    ledger.note_archived([note(f"{at:04}", at)], [mark("e", at, at, at)], [])
                elif number == 3:
                    seen = [summary.commit for summary in ledger.summaries()]
                    assert seen == list(range(1, len(seen) + 1))
                else:
                    ledger.write(line(H + at * HOUR_MS), changed=[cell(key) for key in range(500)])
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=work, args=pair) for pair in enumerate(opened)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert opened[3].last_commit() == 60
    assert opened[3].archive() == [note("0029", 29)]
    assert len(opened[3].open_edges()) == 1
