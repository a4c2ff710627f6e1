"""Lines whose numbers are about to be published (ledger/port.py)."""

from adtally.ledger.port import EdgeEvents, Ledger
from adtally.olap.port import Span
from support.ledger_lines import HOUR_MS, cell, line
from support.ledgers import Opened

H = 495_000 * HOUR_MS


def test_a_prepared_line_is_seen_by_nobody_else_until_it_is_confirmed(ledger: Ledger, reopen: Opened) -> None:
    ledger.write(line(H), [EdgeEvents("a", 1, 3, 3, "x")], spans=[Span("day", H, 1, 3)])
    after = [EdgeEvents("a", 1, 5, 5, "y")]
    ledger.prepare(line(H, revision=2), after, [cell(1), cell(2)])
    assert reopen().prepared(H) == line(H, revision=2)
    assert [each.revision for each in ledger.history(H)] == [1]
    assert (ledger.edges(H)[0].events, ledger.last_commit()) == (3, 1)
    commit = ledger.confirm(H, [Span("minute", H, 2, 5)], [("day", H)])
    assert (ledger.line(H), commit) == (line(H, revision=2, commit=2), 2)
    assert (ledger.edges(H), ledger.changed(commit)) == (after, [cell(1), cell(2)])
    assert (ledger.spans("minute", H, H + 1), ledger.spans("day", H, H + 1)) == ([Span("minute", H, 2, 5)], [])
    assert (ledger.prepared(H), ledger.confirm(H, [], [])) == (None, 0)


def test_a_prepared_line_is_replaced_and_discarded(ledger: Ledger) -> None:
    ledger.prepare(line(H, revision=2), [], [cell(1)])
    ledger.prepare(line(H, revision=3), [], [cell(2)])
    assert ledger.changed(ledger.confirm(H, [], [])) == [cell(2)]
    ledger.prepare(line(H, revision=4), [], [cell(3)])
    for _ in range(2):
        ledger.discard(H)
    assert (ledger.prepared(H), ledger.confirm(H, [], [])) == (None, 0)


def test_forgotten_spans_are_gone_and_the_others_are_not(ledger: Ledger) -> None:
    ledger.note_spans([Span("day", H, 1, 3), Span("day", H + 1, 1, 3), Span("month", H, 1, 3)])
    ledger.forget_spans("day", [H, H + 5])
    assert ledger.spans("day", 0, 1 << 53) == [Span("day", H + 1, 1, 3)]
    assert ledger.spans("month", 0, 1 << 53) == [Span("month", H, 1, 3)]
