"""What control records promise, from flush to flush."""

from adtally.event import Closing, Control, Heartbeat, Lost
from adtally.eventlog.port import Partition
from adtally.lake.marks import Marks
from support.lake_events import NOON_MS


def oldest(marks: Marks, *controls: Control) -> list[int | None]:
    for control in controls:
        marks.add(Partition("control-0"), control)
    return [mark.oldest_spooled_ts_ms for mark in marks.marks]


def test_a_record_behind_a_heartbeat_does_not_make_the_spool_forgotten() -> None:
    first = Marks({})
    assert oldest(first, Heartbeat("e1", 3, NOON_MS + 5, 42), Lost("e1", 4, 4, NOON_MS + 6)) == [42]
    second = Marks(first.spooled)
    assert oldest(second, Lost("e1", 5, 5, NOON_MS + 7)) == [42]
    third = Marks(second.spooled)
    assert oldest(third, Heartbeat("e1", 5, NOON_MS + 8)) == [None]
    assert third.spooled == {}


def test_an_edge_that_closed_its_log_holds_nothing_back() -> None:
    marks = Marks({"e1": 42})
    assert oldest(marks, Closing("e1", 3, NOON_MS)) == [None]
    assert marks.spooled == {}
