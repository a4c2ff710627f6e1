"""Whether an hour lacks events: edges number without gaps, so what is not there is missed (design section 2). Pure."""

from collections.abc import Iterable, Mapping, Sequence

from adtally.eventlog.port import IMPORT_PREFIX
from adtally.ledger.port import Absence, EdgeEvents, EdgeMark


def missing_numbers(
    hour_ms: int,
    edges: Sequence[EdgeEvents],
    marks: Iterable[EdgeMark],
    earlier_marks: Iterable[EdgeMark],
    last_seq_before: Mapping[str, int],
    absences: Iterable[Absence],
) -> dict[str, int]:
    """Give by edge how many numbers of an hour are neither events nor known to be absent; complete edges are left out.

    `edges` are the hour's events, `marks` its control records, `earlier_marks` and `last_seq_before` what is known of
    earlier hours: numbers up to there were given before this hour. Imported events are in no order of time, so their
    numbers say nothing about one hour.
    """
    first: dict[str, int] = dict(last_seq_before)
    for mark in earlier_marks:
        first[mark.edge_id] = max(first.get(mark.edge_id, 0), mark.last_seq)
    last: dict[str, int] = {mark.edge_id: mark.last_seq for mark in marks if mark.hour_ms == hour_ms}
    present: dict[str, int] = {}
    for edge in edges:
        last[edge.edge_id] = max(last.get(edge.edge_id, 0), edge.last_seq)
        present[edge.edge_id] = edge.events
    known: dict[str, list[Absence]] = {}
    for absence in absences:
        known.setdefault(absence.edge_id, []).append(absence)
    found = {}
    for edge_id, end in last.items():
        if edge_id.startswith(IMPORT_PREFIX):
            continue
        begin = first.get(edge_id, 0) + 1
        absent = _covered(known.get(edge_id, ()), begin, end)
        missing = end - begin + 1 - present.get(edge_id, 0) - absent
        if missing > 0:
            found[edge_id] = missing
    return found


def _covered(absences: Iterable[Absence], begin: int, end: int) -> int:
    """Give how many numbers of `begin` to `end` are absent; a number that is twice said to be so counts once."""
    covered, reached = 0, begin - 1
    for first, last in sorted((each.first_seq, each.last_seq) for each in absences):
        fresh = min(end, last) - max(reached + 1, first) + 1
        if fresh > 0:
            covered += fresh
            reached = min(end, last)
    return covered
