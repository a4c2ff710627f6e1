"""What the log holds of a file."""

from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.event import Event, Lost
from adtally.eventlog.port import IMPORTS
from adtally.history.held import NumberSet, read_held
from support.memory_log import MemoryLog

RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), max_size=20)


@settings(deadline=None)
@given(RANGES)
def test_a_set_of_numbers_holds_exactly_what_was_added(ranges: list[tuple[int, int]]) -> None:
    numbers = NumberSet()
    oracle: set[int] = set()
    for first, more in ranges:
        numbers.add(first, first + more)
        oracle |= set(range(first, first + more + 1))
    assert {number for number in range(400) if number in numbers} == oracle


def test_only_the_asked_edge_counts() -> None:
    log = MemoryLog()
    for edge_id, first in (("import-1", 1), ("import-2", 3), ("import-1", 7)):
        events = [Event(edge_id, seq, 1, "a", "", "adv", "u", "other", "ok", "", "") for seq in (first, first + 1)]
        log.append(IMPORTS, events, 5)
        log.append_control(IMPORTS, Lost(edge_id, first + 2, first + 3, 5), 5)
    held = read_held(log.reader("import"), IMPORTS, "import-1")
    assert [seq for seq in range(20) if seq in held.events] == [1, 2, 7, 8]
    assert [seq for seq in range(20) if seq in held.lost] == [3, 4, 9, 10]
