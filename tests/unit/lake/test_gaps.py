"""What cannot be read, and which numbers it had."""

from collections.abc import Sequence

import msgspec

from adtally.event import Closing, Event, Heartbeat, Opening, encode_event
from adtally.eventlog.port import BEGINNING, Partition, Position
from adtally.lake.inlet import Inlet, Taken
from adtally.ledger.port import Absence
from support.lake_events import NOON_MS, click
from support.memory_log import MemoryLog

P = Partition("edge-0")


class Given:
    """A partition whose records a test writes down, and what the archiver takes of it."""

    def __init__(self) -> None:
        self.log = MemoryLog()

    def events(self, *events: Event) -> "Given":
        self.log.append(P, events, NOON_MS)
        return self

    def lines(self, *lines: bytes) -> "Given":
        self.log.append_raw(P, b"\n".join(lines), NOON_MS)
        return self

    def control(self, control: Opening | Heartbeat | Closing) -> "Given":
        self.log.append_control(P, control, NOON_MS)
        return self

    def damaged(self) -> "Given":
        self.log.append_raw(P, b"?", NOON_MS)
        records = self.log.records[P]
        records[-1] = msgspec.structs.replace(records[-1], kind="damaged", reason="checksum does not match")
        return self

    def taken(self, start: Position = BEGINNING) -> Taken:
        inlet = Inlet(P, start)
        inlet.read(self.log.reader("archiver"), NOON_MS, 1 << 20)
        return inlet.take()[0]


def numbers(absences: Sequence[Absence]) -> list[tuple[int, int]]:
    assert all(absence.reason == "dead letter" and absence.edge_id == "e1" for absence in absences)
    return [(absence.first_seq, absence.last_seq) for absence in absences]


GOOD = [encode_event(click(seq)) for seq in range(10)]


def test_a_bad_line_among_good_ones_has_the_number_between_them() -> None:
    taken = Given().lines(GOOD[4], b"{", GOOD[6]).taken()
    assert numbers(taken.absences) == [(5, 5)]
    assert [(letter.position, letter.payload) for letter in taken.letters] == [("00000000-000001", b"{")]
    assert taken.events == 2


def test_bad_lines_at_both_ends_are_counted_from_the_good_ones() -> None:
    assert numbers(Given().lines(b"", GOOD[5], b"x", b"y").taken().absences) == [(4, 4), (6, 6), (7, 7)]


def test_nothing_is_claimed_where_good_lines_contradict_each_other() -> None:
    taken = Given().lines(GOOD[4], b"{", GOOD[9]).taken()
    assert taken.absences == []
    assert len(taken.letters) == 1


def test_a_damaged_record_has_the_numbers_between_its_neighbours() -> None:
    taken = Given().events(click(1), click(2)).damaged().events(click(6)).taken()
    assert numbers(taken.absences) == [(3, 5)]
    assert [letter.reason for letter in taken.letters] == ["checksum does not match"]


def test_damage_after_an_opening_begins_with_the_first_number() -> None:
    assert numbers(Given().control(Opening("e1", NOON_MS)).damaged().events(click(3)).taken().absences) == [(1, 2)]


def test_damage_before_a_closing_reaches_to_the_last_number() -> None:
    given = Given().events(click(1)).damaged().damaged().control(Closing("e1", 5, NOON_MS))
    assert numbers(given.taken().absences) == [(2, 5)]


def test_a_heartbeat_does_not_close_a_gap_for_what_it_promises_may_still_come() -> None:
    given = Given().events(click(1)).damaged().control(Heartbeat("e1", 5, NOON_MS)).events(click(4))
    assert numbers(given.taken().absences) == [(2, 3)]


def test_damage_between_two_edges_claims_nothing() -> None:
    given = Given().events(click(1)).damaged().events(click(9, edge_id="e2"))
    assert given.taken().absences == []
    given = Given().events(click(1)).damaged().control(Opening("e2", NOON_MS)).events(click(3, edge_id="e2"))
    assert given.taken().absences == []


def test_damage_that_held_no_events_claims_nothing() -> None:
    assert Given().events(click(1)).damaged().events(click(2)).taken().absences == []


def test_a_batch_that_is_all_unreadable_is_a_gap_like_damage() -> None:
    given = Given().events(click(1)).lines(b"?", b"?").lines(GOOD[4], b"{")
    assert numbers(given.taken().absences) == [(5, 5), (2, 3)]


def test_a_bad_line_at_the_edge_of_a_batch_is_no_gap_to_the_next() -> None:
    assert numbers(Given().lines(GOOD[1], b"{").damaged().events(click(5)).taken().absences) == [(2, 2), (3, 4)]


def test_a_control_record_that_cannot_be_is_a_dead_letter() -> None:
    log = Given()
    log.log.append_control(P, Heartbeat("e1", 2**70, NOON_MS), NOON_MS)
    log.log.append_control(P, Heartbeat("e1", 1, -5), NOON_MS)
    taken = log.taken()
    assert [letter.reason.split(":")[0] for letter in taken.letters] == ["control", "control"]
    assert taken.marks == []


def test_fields_that_are_not_known_are_kept_as_one_object() -> None:
    given = Given().lines(GOOD[1][:-1] + b',"new":{"a":[1,2.50]},"old":null}', GOOD[2])
    inlet = Inlet(P, BEGINNING)
    inlet.read(given.log.reader("archiver"), NOON_MS, 1 << 20)
    _, tables = inlet.take()
    assert tables[0]["unknown_fields"].to_pylist() == ['{"new":{"a":[1,2.50]},"old":null}', None]


def test_numbers_that_no_column_holds_are_dead_letters_that_say_why() -> None:
    big = [
        encode_event(click(2**63)),
        encode_event(click(1, ts_ms=-1)),
        encode_event(msgspec.structs.replace(click(1), v=2**15)),
    ]
    taken = Given().lines(*big).taken()
    assert [letter.reason.split(" ")[0] for letter in taken.letters] == ["seq", "ts_ms", "v"]


def test_a_read_from_inside_a_batch_takes_what_lies_after() -> None:
    given = Given().events(click(1), click(2), click(3))
    taken = given.taken(Position("00000000-000001"))
    assert taken.events == 2


def test_where_many_edges_write_neighbours_tell_no_numbers() -> None:
    log, shared = MemoryLog(), Partition("clicks-0")
    log.append_raw(shared, b"\n".join([GOOD[4], b"{", GOOD[6]]), NOON_MS)
    inlet = Inlet(shared, BEGINNING)
    inlet.read(log.reader("archiver"), NOON_MS, 1 << 20)
    taken = inlet.take()[0]
    assert taken.absences == []
    assert (taken.events, len(taken.letters)) == (2, 1)
