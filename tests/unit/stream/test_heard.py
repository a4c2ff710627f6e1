"""What is heard of edges: single cases; times are seconds."""

import msgspec
import pytest

from adtally.event import Closing, Control, Heartbeat, Lost, Opening
from adtally.eventlog.port import BEGINNING, CONTROLS, Partition, Position, Record
from adtally.stream.heard import CLOCKS_APART_MS, GIVEN_UP_MS, Heard, Listener
from support.memory_log import MemoryLog, MemoryLogReader


def heard(*records: tuple[int, Control]) -> int:
    found = Heard()
    for appended_s, record in records:
        found.take(record, appended_s * 1_000)
    return found.bound_ms() // 1_000


GIVEN_UP_S = GIVEN_UP_MS // 1_000


@pytest.mark.parametrize(
    ("records", "bound_s"),
    [
        ((), 0),
        (((10, Heartbeat("a", 1, 9_000)),), 9),
        (((10, Heartbeat("a", 1, 9_000)), (11, Heartbeat("b", 1, 11_000))), 9),
        (((10, Heartbeat("a", 1, 9_000, 4_000)),), 4),
        (((10, Heartbeat("a", 1, 9_000)), (12, Heartbeat("b", 1, 11_000)), (13, Closing("a", 1, 9_000))), 11),
        (((10, Opening("a", 8_000)), (12, Heartbeat("b", 1, 11_000))), 8),
        (((10, Lost("a", 1, 2, 3_000)), (12, Heartbeat("b", 1, 11_000))), 11),
        (((10, Heartbeat("a", 1, 9_000)), (10 + GIVEN_UP_S, Heartbeat("b", 1, 700_000))), 9),
        (((10, Heartbeat("a", 1, 9_000)), (11 + GIVEN_UP_S, Heartbeat("b", 1, 700_000))), 700),
        # Of a new leader whose clock lags behind the old one's.
        (((1_000, Heartbeat("a", 1, 9_000)), (10, Heartbeat("b", 1, 11_000)), (20, Heartbeat("b", 1, 12_000))), 9),
    ],
)
def test_the_smallest_promise_of_those_who_are_waited_for_holds(
    records: tuple[tuple[int, Control], ...], bound_s: int
) -> None:
    assert heard(*records) == bound_s


def test_a_promise_of_the_future_is_not_believed() -> None:
    log = MemoryLog()
    log.append_control(CONTROLS, Heartbeat("a", 1, 3_600_000), 1_000)
    promise = Listener(log.reader("stream"), BEGINNING).listen(2_000)
    assert promise is not None
    assert promise.bound_ms == 2_000 - CLOCKS_APART_MS


def test_what_is_no_control_record_stops_nobody() -> None:
    log = MemoryLog()
    log.append_control(CONTROLS, Heartbeat("a", 1, 1_000), 1_000)
    log.append_raw(CONTROLS, b"???", 1_000)
    log.records[CONTROLS][1] = msgspec.structs.replace(log.records[CONTROLS][1], kind="control")
    promise = Listener(log.reader("stream"), BEGINNING).listen(2_000)
    assert promise is not None
    assert promise.bound_ms == 1_000 - CLOCKS_APART_MS


def test_a_restart_hears_everybody_again_who_is_waited_for() -> None:
    log = MemoryLog()
    listener = Listener(log.reader("stream"), BEGINNING)
    for second in range(0, 3 * GIVEN_UP_S, 7):
        # One of two fell silent a little less than ten minutes before the end.
        for edge in ("a", "b") if second < 2 * GIVEN_UP_S + 10 else ("b",):
            log.append_control(CONTROLS, Heartbeat(edge, 1, second * 1_000), second * 1_000)
        before = listener.listen(second * 1_000)
        listener.commit()
    at = log.commits["stream"][CONTROLS]
    assert at > BEGINNING
    assert Listener(log.reader("stream"), at).listen(second * 1_000) == before
    assert before is not None
    assert 2 * GIVEN_UP_S * 1_000 < before.bound_ms < (2 * GIVEN_UP_S + 20) * 1_000


def test_a_place_that_was_removed_is_done_without() -> None:
    class Shortened(MemoryLogReader):
        def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
            return super().read(partition, Position("00000000-000000") if start == BEGINNING else start, bytes_max)

    log = MemoryLog()
    log.append_raw(CONTROLS, b"", 0)
    log.append_raw(CONTROLS, b"", 0)
    log.records[CONTROLS][1] = msgspec.structs.replace(log.records[CONTROLS][1], kind="damaged", reason="removed")
    listener = Listener(Shortened(log, "stream"), Position("00000001-000000"))
    assert listener.listen(1_000) is None
    del log.records[CONTROLS][1]
    log.append_control(CONTROLS, Heartbeat("a", 1, 900), 900)
    promise = listener.listen(2_000)
    assert promise is not None
    assert promise.bound_ms == 900 - CLOCKS_APART_MS
