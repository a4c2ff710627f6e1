"""Numbers that an edge gave and that are nowhere."""

import random

from adtally.eventlog.port import Partition
from adtally.ledger.port import Absence, EdgeEvents, EdgeMark
from adtally.reconcile.contiguity import missing_numbers

HOUR = 3_600_000


def events(first: int, last: int, number: int | None = None, edge: str = "e") -> EdgeEvents:
    return EdgeEvents(edge, first, last, last - first + 1 if number is None else number, "")


def mark(last_seq: int, hour_ms: int = HOUR, edge: str = "e") -> EdgeMark:
    return EdgeMark(edge, hour_ms, Partition("edge-0"), last_seq, hour_ms + 5)


def absent(first: int, last: int) -> Absence:
    return Absence("e", first, last, "lost", HOUR)


def test_an_hour_that_goes_on_where_the_last_one_ended_misses_nothing() -> None:
    assert missing_numbers(HOUR, [events(11, 20)], [mark(20)], [mark(10, 0)], {"e": 10}, []) == {}


def test_a_gap_inside_before_and_behind_an_hours_events_is_missed() -> None:
    assert missing_numbers(HOUR, [events(11, 20, 9)], [], [], {"e": 10}, []) == {"e": 1}
    assert missing_numbers(HOUR, [events(13, 20)], [], [], {"e": 10}, []) == {"e": 2}
    assert missing_numbers(HOUR, [events(11, 20)], [mark(23)], [], {"e": 10}, []) == {"e": 3}


def test_an_hour_of_which_only_a_heartbeat_is_left_misses_all() -> None:
    assert missing_numbers(HOUR, [], [mark(20)], [mark(10, 0)], {}, []) == {"e": 10}


def test_what_an_earlier_heartbeat_promised_is_the_earlier_hours_matter() -> None:
    assert missing_numbers(HOUR, [events(11, 20)], [mark(20)], [mark(10, 0)], {"e": 4}, []) == {}


def test_known_absences_are_not_missed_where_they_lie_in_the_hour() -> None:
    assert missing_numbers(HOUR, [events(11, 20, 8)], [], [], {"e": 10}, [absent(14, 15), absent(2, 9)]) == {}
    assert missing_numbers(HOUR, [events(13, 20)], [], [], {"e": 10}, [absent(8, 11)]) == {"e": 1}
    twice = [absent(14, 15), absent(14, 17), absent(15, 15)]
    assert missing_numbers(HOUR, [events(11, 20, 5)], [], [], {"e": 10}, twice) == {"e": 1}


def test_imported_events_have_no_order_of_time() -> None:
    assert missing_numbers(HOUR, [events(50, 90, 3, edge="import-ab")], [], [], {}, []) == {}


def test_whatever_is_dropped_from_a_numbered_history_is_missed_in_all_hours_together(seed: int) -> None:
    rnd = random.Random(seed)
    for _ in range(300):
        last = rnd.randint(1, 60)
        hour_of = sorted(rnd.randint(0, 3) for _ in range(last))
        lost = {seq for seq in range(1, last + 1) if rnd.random() < 0.1}
        dropped = {seq for seq in range(1, last + 1) if rnd.random() < 0.1} - lost
        marks = [
            mark(max((seq for seq, h in enumerate(hour_of, 1) if h <= hour), default=0), hour * HOUR)
            for hour in range(4)
            if rnd.random() < 0.7 or hour == 3
        ]
        missed, before = 0, dict[str, int]()
        for hour in range(4):
            there = [s for s, h in enumerate(hour_of, 1) if h == hour and s not in lost | dropped]
            edges = [events(there[0], there[-1], len(there))] if there else []
            earlier = [each for each in marks if each.hour_ms < hour * HOUR][-1:]
            now = [each for each in marks if each.hour_ms == hour * HOUR]
            absences = [absent(seq, seq) for seq in lost]
            missed += sum(missing_numbers(hour * HOUR, edges, now, earlier, before, absences).values())
            if there:
                before["e"] = there[-1]
        assert missed == len(dropped)
