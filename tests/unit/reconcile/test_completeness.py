"""Up to when hours are complete."""

from adtally.eventlog.port import Partition, Position
from adtally.ledger.port import ArchiveNote, EdgeMark
from adtally.reconcile.completeness import Completeness, Waits, completeness
from adtally.utc import HOUR_MS

NOW_MS = 1_795_780_800_000
WAITS = Waits(settle_ms=600_000, settle_ms_max=24 * HOUR_MS)


def note(passed_ms: int, partition: str = "edge-0") -> ArchiveNote:
    return ArchiveNote(Partition(partition), Position("1"), passed_ms)


def mark(ts_ms: int, oldest_spooled_ts_ms: int | None = None) -> EdgeMark:
    return EdgeMark("abc", ts_ms - ts_ms % HOUR_MS, Partition("edge-0"), 5, ts_ms, False, oldest_spooled_ts_ms)


def of(notes: list[ArchiveNote], marks: list[EdgeMark] = [], counted_ms: int = NOW_MS) -> Completeness:  # noqa: B006
    return completeness(notes, marks, counted_ms, NOW_MS, WAITS)


def test_nothing_is_complete_before_the_archiver_has_reported() -> None:
    assert of([]).through_ms == 0


def test_the_slowest_partition_decides_less_the_time_to_settle() -> None:
    found = of([note(NOW_MS), note(NOW_MS - 5_000, "edge-1")])
    assert found.through_ms == NOW_MS - 5_000 - WAITS.settle_ms
    assert "is complete 10 minutes after its end" in found.reason
    behind = of([note(NOW_MS), note(NOW_MS - 500_000, "edge-1")])
    assert "waits for the archiver in partition edge-1" in behind.reason


def test_an_edge_that_is_heard_of_holds_nothing_back() -> None:
    assert of([note(NOW_MS)], [mark(NOW_MS - 2_000)]).through_ms == NOW_MS - WAITS.settle_ms


def test_an_edge_that_vanished_holds_hours_back_for_the_longest_wait_and_is_named_after_it() -> None:
    vanished_ms = NOW_MS - 3 * HOUR_MS
    held = of([note(NOW_MS)], [mark(vanished_ms)])
    assert (held.through_ms, held.vanished) == (vanished_ms, ())
    long_ago = mark(NOW_MS - 30 * HOUR_MS)
    given_up = of([note(NOW_MS)], [long_ago])
    assert (given_up.through_ms, given_up.vanished) == (NOW_MS - WAITS.settle_ms_max, (long_ago,))


def test_an_import_that_broke_off_is_waited_for_by_nobody() -> None:
    broken = EdgeMark("import-7", 0, Partition("import-0"), 5, NOW_MS - 3 * HOUR_MS)
    assert of([note(NOW_MS)], [broken]) == of([note(NOW_MS)])


def test_spooled_events_hold_their_hour_back_however_long() -> None:
    oldest_ms = NOW_MS - 100 * HOUR_MS
    assert of([note(NOW_MS)], [mark(NOW_MS, oldest_ms)]).through_ms == oldest_ms


def test_a_stream_that_is_behind_is_waited_for_but_not_for_ever() -> None:
    assert of([note(NOW_MS)], counted_ms=NOW_MS - HOUR_MS).through_ms == NOW_MS - HOUR_MS
    assert of([note(NOW_MS)], counted_ms=0).through_ms == NOW_MS - WAITS.settle_ms_max
