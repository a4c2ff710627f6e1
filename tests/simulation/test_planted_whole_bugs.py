"""The tester, tested behind the stream: each of these bugs was planted, and each must be found within few seeds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from adtally import faultpoint
from adtally.errors import LakeError
from adtally.lake.archiver import Archiver
from adtally.lake.directory import DirectoryLake
from adtally.lake.flush import Flush
from adtally.lake.port import LakeFile
from adtally.olap.port import Grain
from adtally.reconcile.completeness import Completeness
from adtally.reconcile.publication import Publication, _Found, dirty_of
from adtally.reconcile.rollups import Rollups
from adtally.utc import HOUR_MS
from simulation.planted import must_be_found
from simulation.store import Tables
from support.counts import MemoryLive
from support.disk import SimulatedDisk
from support.folders import SimulatedFolders
from support.memory_olap import Cells, Key, added_up, start_of

Patch = pytest.MonkeyPatch


def the_archiver_commits_its_position_before_the_files_are_durable(patch: Patch) -> None:
    honest = Archiver._advance

    def advance(archiver: Archiver, now_ms: int) -> bool:
        assert archiver._flush is not None
        archiver._reader.commit({note.partition: note.position for note in archiver._flush.notes})
        return honest(archiver, now_ms)

    patch.setattr(Archiver, "_advance", advance)


def the_ledger_is_told_before_the_files_are_there(patch: Patch) -> None:
    honest = Archiver._advance

    def advance(archiver: Archiver, now_ms: int) -> bool:
        flush = archiver._flush
        assert flush is not None
        archiver._ledger.note_archived(flush.notes, flush.marks, flush.absences)
        return honest(archiver, now_ms)

    patch.setattr(Archiver, "_advance", advance)


def what_a_failed_flush_held_is_forgotten(patch: Patch) -> None:
    honest = Flush.write

    def write(flush: Flush, lake: DirectoryLake) -> list[LakeFile]:
        try:
            return honest(flush, lake)
        except LakeError:
            flush._pending.clear()
            raise

    patch.setattr(Flush, "write", write)


def a_lake_file_is_not_synced(patch: Patch) -> None:
    patch.setattr(SimulatedFolders, "sync_file", lambda folders, descriptor: None)


def the_folder_of_an_hour_is_not_synced(patch: Patch) -> None:
    honest = SimulatedFolders.sync_folder

    def sync_folder(folders: SimulatedFolders, path: Path) -> None:
        if not path.name.startswith("hour="):
            honest(folders, path)

    patch.setattr(SimulatedFolders, "sync_folder", sync_folder)


def compaction_removes_the_old_files_first(patch: Patch) -> None:
    def replace(lake: DirectoryLake, hour_ms: int, stem: str, events: pa.Table, old: Sequence[LakeFile]) -> LakeFile:
        for file in old:
            (lake._root / file.name).unlink()
            faultpoint.reach("lake.removed")
        return lake.write(hour_ms, stem, events)

    patch.setattr(DirectoryLake, "replace", replace)


def compaction_takes_equal_numbers_of_two_edges_for_one_event(patch: Patch) -> None:
    patch.setattr("adtally.lake.compaction._ID", ["seq"])


def the_ledger_is_not_synced(patch: Patch) -> None:
    honest = SimulatedDisk.note_sync

    def note_sync(disk: SimulatedDisk, path: str) -> None:
        if "ledger.db" not in path:
            honest(disk, path)

    patch.setattr(SimulatedDisk, "note_sync", note_sync)


def the_log_is_removed_before_the_archiver_has_read_it(patch: Patch) -> None:
    patch.setattr("simulation.counter.declared_readers", lambda partition: ("stream",))


def an_hour_is_called_complete_too_early(patch: Patch) -> None:
    def completeness(*args: Any) -> Completeness:
        return Completeness(args[3], "nothing is waited for", ())

    patch.setattr("adtally.reconcile.reconciler.completeness", completeness)


def late_events_do_not_reopen_an_hour(patch: Patch) -> None:
    patch.setattr("adtally.reconcile.due.is_due", lambda hour, lines: hour.line is None)


def publishing_adds_instead_of_replacing(patch: Patch) -> None:
    honest = Tables._replace

    def replace(tables: Tables, grain: Grain, gone: Callable[[Key], bool], cells: Cells) -> None:
        old = [(key, cell.clicks, cell.users) for key, cell in tables.final[grain].items() if gone(key)]
        new = [(key, cell.clicks, cell.users) for key, cell in cells.items()]
        honest(tables, grain, gone, added_up([*old, *new]))

    patch.setattr(Tables, "_replace", replace)


def quarter_hours_lose_the_rest_of_their_day(patch: Patch) -> None:
    honest = Tables._replace

    def replace(tables: Tables, grain: Grain, gone: Callable[[Key], bool], cells: Cells) -> None:
        days = {start_of("day", key.time_s) for key in cells}

        def in_days(key: Key) -> bool:
            return start_of("day", key.time_s) in days

        honest(tables, grain, in_days if grain == "quarter_hour" else gone, cells)

    patch.setattr(Tables, "_replace", replace)


def a_correction_does_not_raise_the_revision(patch: Patch) -> None:
    honest = _Found.line

    def line(found: _Found, *args: Any) -> Any:
        made = honest(found, *args)
        published = found.old.revision if found.old is not None else 0
        return msgspec.structs.replace(made, revision=published) if published else made

    patch.setattr(_Found, "line", line)


def a_corrected_hour_does_not_make_its_day_outdated(patch: Patch) -> None:
    patch.setattr("adtally.reconcile.publication.dirty_of", lambda hour_ms: ())


def a_prepared_line_is_taken_for_published(patch: Patch) -> None:
    def finish(publication: Publication, hour: Any, count: Any) -> None:
        spans = publication._writer.spans("minute", hour.hour_ms, hour.hour_ms + HOUR_MS)
        publication._ledger.confirm(hour.hour_ms, spans, dirty_of(hour.hour_ms))

    patch.setattr(Publication, "_finish_interrupted", finish)


def nobody_sees_that_the_store_has_lost_something(patch: Patch) -> None:
    patch.setattr(Rollups, "lost", lambda rollups, lines, now_ms: set())


def live_rows_are_added_up(patch: Patch) -> None:
    honest = MemoryLive.append

    def append(live: MemoryLive, rows: Any) -> None:
        before = dict(live.clicks)
        honest(live, rows)
        for key in live.clicks:
            live.clicks[key] += before.get(key, 0) if live.clicks[key] != before.get(key, 0) else 0

    patch.setattr(MemoryLive, "append", append)


BUGS: dict[Callable[[Patch], None], tuple[str, str]] = {
    the_archiver_commits_its_position_before_the_files_are_durable: ("hours-passes", ""),
    the_ledger_is_told_before_the_files_are_there: ("hours-passes", ""),
    what_a_failed_flush_held_is_forgotten: ("hours-disk", ""),
    a_lake_file_is_not_synced: ("hours-power", ""),
    the_folder_of_an_hour_is_not_synced: ("hours-power", ""),
    compaction_removes_the_old_files_first: ("hours-passes", ""),
    compaction_takes_equal_numbers_of_two_edges_for_one_event: ("hours", ""),
    the_ledger_is_not_synced: ("hours-power", ""),
    the_log_is_removed_before_the_archiver_has_read_it: ("hours-passes", ""),
    an_hour_is_called_complete_too_early: ("hours-passes", ""),
    late_events_do_not_reopen_an_hour: ("hours-passes", ""),
    publishing_adds_instead_of_replacing: ("hours-passes", ""),
    quarter_hours_lose_the_rest_of_their_day: ("hours-passes", ""),
    a_correction_does_not_raise_the_revision: ("hours-passes", ""),
    a_corrected_hour_does_not_make_its_day_outdated: ("hours-passes", ""),
    a_prepared_line_is_taken_for_published: ("hours-passes", ""),
    nobody_sees_that_the_store_has_lost_something: ("hours-away", ""),
    live_rows_are_added_up: ("hours", ""),
}
"""Each with the profile that brings it out, and what the checker says (empty: one thing or another)."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[[Patch], None], tmp_path: Path, monkeypatch: Patch) -> None:
    bug(monkeypatch)
    must_be_found(*BUGS[bug], tmp_path)
