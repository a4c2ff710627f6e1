"""The reconciler: recounts complete hours whose files are not those that the ledger knows, and publishes the result.

Its work list is derived anew in each pass, from the lake and the ledger alone, so that a pass may die at any instant.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from adtally.clock import Clock
from adtally.config import LakeConfig, ReconcileConfig
from adtally.errors import LakeDamagedError, LakeFileGoneError, RecountDiedError, RecountError
from adtally.eventlog.port import is_import
from adtally.faultpoint import reach
from adtally.lake.port import Lake
from adtally.ledger.port import HourLine, Ledger, Rules
from adtally.olap.port import OlapReader, OlapWriter
from adtally.reconcile.completeness import Completeness, Waits, completeness
from adtally.reconcile.due import Finder
from adtally.reconcile.housekeeping import Housekeeping
from adtally.reconcile.passes import PassReport, Wanted, Work, named, told
from adtally.reconcile.port import HourCount, Recounted, Recounter, RecountJob
from adtally.reconcile.publication import NO_EVENTS, Batch, Pass, Publication
from adtally.reconcile.rollups import Rollups
from adtally.reconcile.worklist import DueHour, Hours, jobs
from adtally.telemetry import log
from adtally.utc import DAY_MS, FOREVER_MS, HOUR_MS, day_of, hour_of

IMPORT_WAIT_MS: Final = 900_000
"""So long an import that has not ended is waited for, so that an hour does not get a revision for each piece of it."""


class Parts(msgspec.Struct, frozen=True):
    """What a reconciler works on. `counted_ms` gives how far the live count has come, for what was clicked."""

    lake: Lake
    ledger: Ledger
    writer: OlapWriter
    reader: OlapReader
    recounter: Recounter
    clock: Clock
    counted_ms: Callable[[], int]
    folder: Path
    """For results on their way; whatever is in it may be removed."""


Progress = Callable[[int, int], None]
"""Is told how many hours are done, and of how many."""


def _nobody(done: int, total: int) -> None:
    """Nobody asks how far a pass has come."""


class Reconciler:
    """Advances by whole passes; each blocks for as long as it takes. For one caller at a time."""

    def __init__(self, parts: Parts, config: ReconcileConfig, lake_config: LakeConfig, rules: Rules) -> None:
        self._parts = parts
        self._config = config
        self._rules = rules
        self._publication = Publication(parts.ledger, parts.writer, parts.reader, parts.clock)
        self._rollups = Rollups(parts.ledger, parts.writer, config)
        self._housekeeping = Housekeeping(parts.lake, parts.ledger, parts.clock, lake_config)

    def run(self, wanted: Wanted, progress: Progress = _nobody) -> PassReport:
        """Do all the work that is due. Raises LakeError and StoreUnavailableError: then call again later.

        What goes wrong with single hours is told in the report, and does not keep others from being counted.
        """
        now_ms = self._parts.clock.now_ms()
        complete = self.completeness(now_ms)
        lines = self._lines()
        lost = self._rollups.lost(lines, now_ms) if wanted.verify and not wanted.dry_run else set()
        finder = self._finder(lines)
        end_ms = hour_of(complete.through_ms)
        due = {wanted.hour_ms} if wanted.hour_ms is not None and wanted.hour_ms < end_ms else set[int]()
        # Hours get their lines in their order: readers take an hour without one, but with later ones, for empty.
        if not (wanted.dry_run and wanted.hour_ms is not None):
            found = finder.due(end_ms)
            due |= set(finder.before_import(found) if self._imports(now_ms) else found)
        again = lost | finder.whole_days(due | lost, now_ms - self._config.quarter_hour_days * DAY_MS)
        work = Work(wanted, complete, "hour", again)
        hours = [finder.hour(hour_ms) for hour_ms in sorted(due | again)]
        done = 0
        for group in jobs(hours):
            progress(done, len(hours))
            self._count(group, work)
            done += len(group)
        progress(done, len(hours))
        if not wanted.dry_run:
            lines = self._lines()
            work.spans += self._rollups.publish(lines, complete.through_ms)
            self._rollups.retain(lines, now_ms)
            self._housekeeping.compact(lines, finder.files, now_ms)
            self._housekeeping.retain(lines, now_ms)
        return work.report()

    def second_pass(self, day_ms: int) -> PassReport:
        """Recount a finished UTC day in one go, as nobody has counted it before, and correct what differs.

        It should find nothing; that it looked is told by a line of the day's first hour. Raises as `run`.
        """
        now_ms = self._parts.clock.now_ms()
        complete = self.completeness(now_ms)
        work = Work(Wanted(), complete, "second pass", set())
        finder = self._finder(self._lines())
        hours = tuple(finder.hour(hour_ms) for hour_ms in range(day_ms, day_ms + DAY_MS, HOUR_MS))
        self._count(hours, work)
        first = next(iter(self._parts.ledger.lines(day_ms, day_ms + DAY_MS)), None)
        if first is not None and not work.failures and all(line.hour_ms != first.hour_ms for line in work.lines):
            note = f"all of the day was recounted in one go; {len(work.lines)} hours differed"
            again = {"kind": "second pass", "previous": first.final, "keys_differed": 0, "difference": 0, "note": note}
            times = {"started_ms": now_ms, "finished_ms": self._parts.clock.now_ms()}
            self._parts.ledger.write(msgspec.structs.replace(first, **again, **times))
        work.spans += self._rollups.publish(self._lines(), complete.through_ms)
        return work.report()

    def second_pass_due(self) -> int | None:
        """Give yesterday, as a UTC day, if it is all published and was not yet looked at a second time."""
        now_ms = self._parts.clock.now_ms()
        day_ms = day_of(now_ms) - DAY_MS
        if day_ms + DAY_MS > self.completeness(now_ms).through_ms:
            return None
        lines = self._parts.ledger.lines(day_ms, day_ms + DAY_MS)
        if not lines or any(line.state != "final" for line in lines):
            return None
        looked = any(line.kind == "second pass" for line in self._parts.ledger.history(lines[0].hour_ms))
        return None if looked else day_ms

    def completeness(self, now_ms: int) -> Completeness:
        """Give up to when hours are complete."""
        ledger = self._parts.ledger
        waits = Waits(self._config.settle_ms, self._config.settle_ms_max)
        return completeness(ledger.archive(), ledger.open_edges(), self._parts.counted_ms(), now_ms, waits)

    def _imports(self, now_ms: int) -> bool:
        """Tell whether an import goes on: one that has not closed its log, and began not long ago."""
        marks = self._parts.ledger.open_edges()
        return any(is_import(mark.partition) and now_ms - mark.ts_ms < IMPORT_WAIT_MS for mark in marks)

    def _lines(self) -> dict[int, HourLine]:
        return {line.hour_ms: line for line in self._parts.ledger.lines(0, FOREVER_MS)}

    def _finder(self, lines: Mapping[int, HourLine]) -> Finder:
        return Finder(self._parts.ledger, self._publication, Hours(self._parts.lake), lines, self._rules)

    def _count(self, group: Sequence[DueHour], work: Work) -> None:
        """Recount a job's hours, and settle each of them."""
        folder = self._parts.folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        started_ms = self._parts.clock.now_ms()
        try:
            group = self._changed(group, work)
            if not group:
                return
            recounted = self._recount(group)
        except LakeDamagedError as error:
            self._set_damaged_aside(group, error, work)
            return
        except (LakeFileGoneError, RecountError) as error:
            # Files that go again and again, an engine that dies: the hours stay due, and a person is told.
            log.error("hours were not recounted", first_ms=group[0].hour_ms, hours=len(group), error=str(error))
            work.failures.append(f"{named(group)}: {error}")
            for hour in group:
                self._publication.leave_open(hour, str(error), work.wanted.dry_run)
            return
        reach("reconcile.recounted")
        self._parts.writer.stage(recounted.files)
        reach("reconcile.staged")
        batch = Batch()
        for hour in group:
            asked = hour.hour_ms == work.wanted.hour_ms
            compare = asked or work.kind == "second pass"
            accept = asked and work.wanted.accept_missing
            now = Pass(work.kind, recounted.engine, started_ms, work.wanted.dry_run, accept, compare)
            self._settle(hour, recounted.hours[hour.hour_ms], now, batch, work)
        self._publication.publish(batch)
        shutil.rmtree(folder, ignore_errors=True)

    def _settle(self, hour: DueHour, count: HourCount, now: Pass, batch: Batch, work: Work) -> None:
        vanished = [mark.edge_id for mark in work.complete.vanished if mark.ts_ms < hour.hour_ms + HOUR_MS]
        note = f"edges that vanished without closing their log: {', '.join(sorted(vanished))}" if vanished else ""
        line = self._publication.settle(hour, count, now, batch, note)
        if line is not None:
            if line.state == "damaged":
                log.error("an hour is damaged", **told(line))
            elif line.keys_differed and line.previous:
                log.info("an hour's recount differs from what was counted before", **told(line))
            work.lines.append(line)
        elif hour.hour_ms in work.again:
            batch.again.append(hour.hour_ms)
            work.republished.append(hour.hour_ms)

    def _changed(self, group: Sequence[DueHour], work: Work) -> Sequence[DueHour]:
        """Leave out hours whose other files hold the same events, as compaction leaves them: cheaper than counting."""
        counted = all(hour.line is not None and hour.line.state == "final" and hour.files for hour in group)
        counted_anyway = {work.wanted.hour_ms, *work.again}
        if not counted or work.kind == "second pass" or any(hour.hour_ms in counted_anyway for hour in group):
            return group
        found = self._parts.recounter.manifests(self._job(group))
        changed = []
        for hour in group:
            same = hour.line is not None and hour.line.manifest == found[hour.hour_ms].manifest
            if not same:
                changed.append(hour)
            elif not work.wanted.dry_run:
                self._parts.ledger.touch(hour.hour_ms, hour.fingerprint)
        # A job is of adjoining hours: those between are counted again, and found to be the same.
        first, last = (changed[0].hour_ms, changed[-1].hour_ms) if changed else (1, 0)
        return [hour for hour in group if first <= hour.hour_ms <= last]

    def _recount(self, group: Sequence[DueHour]) -> Recounted:
        if any(hour.files for hour in group):
            job = self._job(group)
            try:
                return self._parts.recounter.recount(job)
            except RecountDiedError as error:
                raise self._deadly(job) or error from None
        return Recounted((), {hour.hour_ms: NO_EVENTS for hour in group}, "none: no events", 0)

    def _deadly(self, job: RecountJob) -> LakeDamagedError | None:
        """Give the file of which whoever reads it alone dies: no checksum covers a footer. Raises as a recount."""
        for file in job.files:
            alone = msgspec.structs.replace(job, files=(file,))
            # Twice: a process may have died of something else.
            if self._dies_of(alone) and self._dies_of(alone):
                return LakeDamagedError(file, "a process that reads it dies")
        return None

    def _dies_of(self, job: RecountJob) -> bool:
        shutil.rmtree(job.folder, ignore_errors=True)
        Path(job.folder).mkdir(parents=True)
        try:
            self._parts.recounter.manifests(job)
        except RecountDiedError:
            return True
        return False

    def _job(self, group: Sequence[DueHour]) -> RecountJob:
        files = sorted({file for hour in group for file in (*hour.look_back, *hour.files)})
        return RecountJob(
            group[0].hour_ms,
            group[-1].hour_ms + HOUR_MS,
            tuple(self._parts.lake.location(file) for file in files),
            group[0].rules,
            str(self._parts.folder),
            self._config.memory_bytes_max,
        )

    def _set_damaged_aside(self, group: Sequence[DueHour], error: LakeDamagedError, work: Work) -> None:
        """Note the hours that a damaged file belongs to, or that look back into it, and count the others."""
        location = self._parts.lake.location
        hit = [hour for hour in group if error.file in map(location, (*hour.files, *hour.look_back))]
        for hour in hit:
            line = self._publication.unreadable(hour, str(error), work.wanted.dry_run)
            log.error("an hour cannot be recounted", **told(line))
            work.lines.append(line)
        rest = [hour for hour in group if hour not in hit]
        if not hit:
            work.failures.append(f"{named(group)}: {error}")
            return
        for part in jobs(rest):
            self._count(part, work)
