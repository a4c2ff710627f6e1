"""Hours become final, are corrected, and tell of damage."""

import random
from collections.abc import Mapping
from pathlib import Path

import msgspec

from adtally.errors import RecountDiedError
from adtally.eventlog.port import Partition
from adtally.lake.compaction import compact_hour
from adtally.ledger.port import EdgeMark
from adtally.reconcile.passes import Wanted
from adtally.reconcile.port import HourCount, Recounted, RecountJob
from adtally.reconcile.reconciler import IMPORT_WAIT_MS
from support.lake_events import click
from support.plain_recount import PlainRecounter, lake_table
from support.reconciling import DAY_MS, SETTLED_MS, Backend, check_final, history, hour, spoil, three_hours


def test_complete_hours_become_final_and_no_others(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    report = backend.run(hour(3) + SETTLED_MS)
    assert [line.hour_ms for line in report.lines] == [hour(1), hour(2)]
    for index in (1, 2):
        line = backend.line(index)
        assert (line.state, line.revision, line.keys_differed, line.difference, line.missing) == ("final", 1, 0, 0, 0)
        assert line.final == line.previous
    check_final(backend, 1, 3)
    assert backend.ledger.line(hour(3)) is None
    assert backend.run(hour(3) + SETTLED_MS).lines == ()


def test_an_hour_ends_ten_minutes_after_its_end(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    assert backend.run(hour(2) + 600_000 - 1).lines == ()
    assert len(backend.run(hour(2) + 600_000).lines) == 1


def test_what_the_stream_got_wrong_is_repaired_and_the_ledger_shows_exactly_that(backend: Backend, seed: int) -> None:
    rnd = random.Random(seed)
    backend.archive(history(rnd, 300, hour(1), hour(2)))
    right = backend.live_of(hour(1), hour(2))
    dropped, doubled = min(right), max(right)
    wrong = dict(right)
    del wrong[dropped]
    wrong[doubled] = (right[doubled][0] * 2, right[doubled][1])
    backend.count_live(wrong)
    backend.run(hour(3))
    line = backend.line(1)
    assert (line.keys_differed, line.difference) == (2, right[dropped][0] + right[doubled][0])
    changed = {(c.ad_id, c.minute_s, c.device, c.outcome): (c.old, c.new) for c in backend.ledger.changed(line.commit)}
    assert changed == {
        dropped[2:]: (0, right[dropped][0]),
        doubled[2:]: (2 * right[doubled][0], right[doubled][0]),
    }
    check_final(backend, 1, 2)


def test_late_events_reopen_an_hour_which_closes_with_the_next_revision(backend: Backend, seed: int) -> None:
    rnd = random.Random(seed)
    three_hours(backend, rnd)
    backend.run(hour(5))
    late = [click(number, hour(1) + number, "late", user_id=f"n{number}") for number in range(1, 4)]
    backend.archive(late, delay_ms=10 * 3_600_000)
    report = backend.run(hour(6))
    assert [line.revision for line in report.lines if line.hour_ms == hour(1)] == [2]
    line = backend.line(1)
    assert (line.late, line.difference, line.final["counted"] - line.previous["counted"]) == (3, 3, 3)
    assert sum(cell.new - cell.old for cell in backend.ledger.changed(line.commit)) == 3
    assert backend.line(2).revision == 1
    check_final(backend, 1, 4)


def test_events_at_an_hours_end_are_looked_back_at_by_the_next(backend: Backend) -> None:
    shop = [click(1, hour(2) + 1_000, user_id="x")]
    shop = [msgspec.structs.replace(event, impression_id="i") for event in shop]
    backend.archive(shop)
    backend.run(hour(4))
    assert backend.line(2).final == {"counted": 1}
    before = msgspec.structs.replace(shop[0], edge_id="late", ts_ms=hour(2) - 1_000)
    backend.archive([before], delay_ms=DAY_MS)
    backend.run(hour(4) + 1)
    assert (backend.line(1).final, backend.line(2).final) == ({"counted": 1}, {"duplicate": 1})
    assert backend.line(2).revision == 2


def test_other_files_with_the_same_events_change_nothing(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    backend.archive(backend.events[i][0] for i in range(50))
    backend.run(hour(5))
    commit = backend.ledger.last_commit()
    for index in (1, 2, 3):
        compact_hour(backend.lake, hour(index))
    (empty,) = backend.run(hour(6)).lines
    assert (empty.hour_ms, empty.manifest.events, backend.ledger.last_commit()) == (hour(4), 0, commit + 1)
    assert backend.run(hour(6)).lines == ()


def test_a_removed_file_is_an_alarm_and_no_correction_and_a_restored_one_ends_it(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    name = backend.archive(history(random.Random(seed), 40, hour(2), hour(3), "e2"))
    at_ms = hour(3) + SETTLED_MS
    backend.run(at_ms)
    before = backend.final(hour(2), hour(3))
    file = backend.root / "lake" / name
    content = file.read_bytes()
    file.unlink()
    report = backend.run(at_ms)
    line = backend.line(2)
    assert {each.state for each in report.lines} == {"damaged"}
    assert hour(1) not in {each.hour_ms for each in report.lines}, "an hour does not look ahead"
    assert "40 of edge e2" in line.note
    assert (line.revision, line.final) == (1, backend.ledger.history(hour(2))[0].final)
    assert backend.final(hour(2), hour(3)) == before
    assert backend.run(at_ms).lines == ()
    file.write_bytes(content)
    backend.run(at_ms)
    assert (backend.line(2).state, backend.line(2).revision, backend.line(2).keys_differed) == ("final", 1, 0)


def test_a_file_that_is_gone_before_its_first_count_is_missed(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    name = backend.archive(history(random.Random(seed), 40, hour(2), hour(3), "e2"))
    (backend.root / "lake" / name).unlink()
    backend.run(hour(5))
    line = backend.line(2)
    assert (line.state, line.revision, line.missing) == ("damaged", 0, 40)
    assert backend.final(hour(2), hour(3)) == {}
    for number in range(1, 41):
        backend.lose("e2", number)
    backend.run(hour(5))
    assert (backend.line(2).state, backend.line(2).revision, backend.line(2).missing) == ("final", 1, 0)


def test_a_person_may_accept_that_events_are_missing(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    name = backend.archive(history(random.Random(seed), 40, hour(2), hour(3), "e2"))
    (backend.root / "lake" / name).unlink()
    backend.run(hour(5))
    backend.run(hour(5), Wanted(hour_ms=hour(2), accept_missing=True))
    assert (backend.line(2).state, backend.line(2).revision, backend.line(2).missing) == ("final", 1, 40)
    assert backend.run(hour(5)).lines == ()


def test_a_truncated_file_damages_its_hour_and_the_next_and_keeps_no_others_back(backend: Backend, seed: int) -> None:
    backend.archive(history(random.Random(seed), 400, hour(1), hour(5)))
    backend.count_live(backend.live_of(hour(1), hour(5)))
    file = backend.root / "lake" / backend.lake.files(hour(2))[0].name
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    backend.run(hour(6))
    assert [backend.line(index).state for index in (1, 2, 3, 4)] == ["final", "damaged", "damaged", "final"]
    assert file.name in backend.line(2).note
    file.write_bytes(content)
    backend.run(hour(6))
    assert [backend.line(index).state for index in (1, 2, 3, 4)] == ["final"] * 4
    check_final(backend, 1, 5)


def test_hours_without_events_get_a_line_too(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    backend.run(hour(7) + SETTLED_MS)
    assert [(backend.line(i).state, backend.line(i).final) for i in (4, 5, 6)] == [("final", {})] * 3


def test_a_dry_run_tells_and_changes_nothing(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    report = backend.run(hour(5), Wanted(dry_run=True))
    assert [line.revision for line in report.lines] == [1, 1, 1]
    assert (backend.ledger.last_commit(), backend.final(hour(1), hour(4))) == (0, {})


def test_one_hour_may_be_asked_for_and_is_compared_cell_by_cell(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    backend.run(hour(5))
    assert backend.run(hour(5), Wanted(hour_ms=hour(2))).lines == ()
    spoil(backend, 2)
    (line,) = backend.run(hour(5), Wanted(hour_ms=hour(2))).lines
    assert (line.revision, line.keys_differed) == (2, 1)
    check_final(backend, 1, 4)
    assert backend.run(hour(5), Wanted(hour_ms=hour(9))).lines == ()


def test_hours_wait_for_the_end_of_an_import_so_that_they_get_one_revision_for_it(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    at_ms = hour(3) + SETTLED_MS
    backend.run(at_ms)
    imports = Partition("import-0")
    backend.ledger.note_archived([], [EdgeMark("import-1", hour(3), imports, 0, at_ms)], [])
    for number in (1, 2):
        events = [click(number, hour(2) + number, "import-1", user_id=f"n{number}")]
        backend.lake.write(hour(2), f"import-0-{number}", lake_table((event, at_ms) for event in events))
        assert backend.run(at_ms + number).lines == ()
    closed = EdgeMark("import-1", hour(3), imports, 2, at_ms + 5, closed=True)
    backend.ledger.note_archived([], [closed], [])
    assert [line.revision for line in backend.run(at_ms + 9).lines] == [2]
    assert backend.line(2).difference == 2


def test_hours_do_not_wait_long_for_an_import_that_broke_off(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    at_ms = hour(3) + SETTLED_MS
    backend.ledger.note_archived([], [EdgeMark("import-1", hour(3), Partition("import-0"), 0, at_ms)], [])
    event = click(1, hour(2) + 1, "import-1", user_id="new")
    backend.lake.write(hour(2), "import-0-1", lake_table([(event, at_ms)]))
    assert [line.hour_ms for line in backend.run(at_ms).lines] == [hour(1)]
    assert [line.hour_ms for line in backend.run(at_ms + IMPORT_WAIT_MS).lines] == [hour(2)]


class DeadlyRecounter(PlainRecounter):
    """One whose process dies of a file."""

    deadly = ""

    def recount(self, job: RecountJob) -> Recounted:
        self._read(job)
        return super().recount(job)

    def manifests(self, job: RecountJob) -> Mapping[int, HourCount]:
        self._read(job)
        return super().manifests(job)

    def _read(self, job: RecountJob) -> None:
        if self.deadly and any(file.endswith(self.deadly) for file in job.files):
            raise RecountDiedError("the recount's process ended with status -11")


def test_a_file_of_which_the_recounting_process_dies_is_named_and_the_other_hours_are_counted(tmp_path: Path) -> None:
    recounter = DeadlyRecounter()
    backend = Backend(tmp_path, recounter=recounter)
    recounter.deadly = backend.archive(history(random.Random(1), 20, hour(0), hour(1), "a"))
    backend.archive(history(random.Random(2), 20, hour(2), hour(3), "b"))
    report = backend.run(hour(4))
    states = {line.hour_ms: line.state for line in report.lines}
    assert (states[hour(0)], states[hour(2)]) == ("damaged", "final")
    # The hour behind it looks back into the file.
    notes = [line.note for line in report.lines if line.state == "damaged"]
    assert [recounter.deadly in note for note in notes] == [True, True]
    assert not report.failures
