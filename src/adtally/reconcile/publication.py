"""Takes recounted hours from the staging table to the readers, and writes their lines."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from adtally.clock import Clock
from adtally.faultpoint import reach
from adtally.ledger.port import CHANGED_KEYS_MAX, EdgeEvents, HourLine, HourState, Ledger, LineKind, Manifest
from adtally.olap.port import EVERYONE, AggregateQuery, Differences, Grain, OlapReader, OlapWriter, Source, Span
from adtally.reconcile.contiguity import missing_numbers
from adtally.reconcile.port import HourCount
from adtally.reconcile.verdict import judge
from adtally.reconcile.worklist import DueHour
from adtally.utc import HOUR_MS, day_of, month_of

NOTHING: Final = Differences(0, 0, ())
NO_EVENTS: Final = HourCount(Manifest(0, "", 0, ""), {}, 0, ())


class Pass(msgspec.Struct, frozen=True):
    """What is the same for all hours of one pass."""

    kind: LineKind
    engine: str
    started_ms: int
    dry_run: bool
    accept_missing: bool
    compare: bool
    """Compare cell by cell even where the events are the same as before."""


class Batch:
    """What is to be published of one job's hours, all of one UTC day, settled in ascending order."""

    def __init__(self) -> None:
        self.prepared: list[int] = []
        self.again: list[int] = []
        """Hours whose line stands: the store had lost them, or their day is to be made of them anew."""
        self.lines: dict[int, tuple[HourLine, Sequence[EdgeEvents] | None]] = {}
        """Lines of hours that have nothing to publish, and their edges: they wait for their turn, for readers take an
        hour without a line, but with later ones, for empty."""
        self.last_seq: dict[str, int] = {}
        """The greatest number that each edge gave in the hours so far: the ledger does not know them yet."""


class Publication:
    """Publishes recounted hours, whose minutes are staged. For one caller at a time."""

    def __init__(self, ledger: Ledger, writer: OlapWriter, reader: OlapReader, clock: Clock) -> None:
        self._ledger = ledger
        self._writer = writer
        self._reader = reader
        self._clock = clock

    def settle(self, hour: DueHour, count: HourCount, now: Pass, batch: Batch, note: str = "") -> HourLine | None:
        """Say what becomes of one hour; give its new line, None if nothing has changed.

        What is to be published goes into `batch`, for `publish`. On a dry run the line is given and not written, and
        nothing is published. Raises StoreUnavailableError.
        """
        if not now.dry_run:
            self._finish_interrupted(hour, count)
        line = self._ledger.line(hour.hour_ms)
        missing = self.missing(hour.hour_ms, count, batch.last_seq)
        batch.last_seq.update({edge.edge_id: edge.last_seq for edge in count.edges})
        judgement = judge(count, missing, line, self._ledger.edges(hour.hour_ms), hour.rules, now.accept_missing)
        if judgement.kind == "same" and not now.compare:
            if not now.dry_run and line is not None and line.files != hour.fingerprint:
                self._ledger.touch(hour.hour_ms, hour.fingerprint)
            return None
        found = _Found(hour, count, line, sum(missing.values()), self._previous(hour.hour_ms, line))
        if judgement.kind != "damaged":
            return self._prepare(found, now, batch, note)
        damaged = found.line("damaged", NOTHING, now, self._clock.now_ms(), judgement.note)
        if not now.dry_run and (line is None or not _says_the_same(line, damaged)):
            # What was known of a counted hour's edges stays: by it one sees what is gone.
            batch.lines[hour.hour_ms] = damaged, None if found.counted_before else count.edges
        return damaged

    def unreadable(self, hour: DueHour, why: str, dry_run: bool) -> HourLine:
        """Note that an hour's files cannot be read; what was published of it stays."""
        return self._note("damaged", hour, why, dry_run)

    def leave_open(self, hour: DueHour, why: str, dry_run: bool) -> None:
        """Note that an hour that was never counted could not be counted: its live numbers stay, and it stays due."""
        if hour.line is None or hour.line.revision == 0:
            self._note("open", msgspec.structs.replace(hour, fingerprint="never read"), why, dry_run)

    def _note(self, state: HourState, hour: DueHour, why: str, dry_run: bool) -> HourLine:
        line = self._ledger.line(hour.hour_ms)
        found = _Found(hour, NO_EVENTS, line, 0, self._previous(hour.hour_ms, line))
        now_ms = self._clock.now_ms()
        now = Pass("hour", "none", now_ms, dry_run, accept_missing=False, compare=False)
        new = found.line(state, NOTHING, now, now_ms, why)
        if not dry_run and (line is None or not _says_the_same(line, new)):
            self._ledger.write(new)
        return new

    def publish(self, batch: Batch) -> None:
        """Put a batch's hours, whose minutes are staged, before the readers, and then say so."""
        hours = sorted({*batch.prepared, *batch.again})
        spans = self._writer.publish_hours(hours) if hours else []
        reach("reconcile.published")
        for hour_ms in sorted({*batch.prepared, *batch.lines}):
            if hour_ms in batch.lines:
                self._ledger.write(*batch.lines[hour_ms])
            else:
                self._ledger.confirm(hour_ms, _of_hour(spans, hour_ms), dirty_of(hour_ms))
            reach("reconcile.confirmed")
        if hours:
            self._ledger.note_spans(spans)
        reach("reconcile.noted")

    def missing(self, hour_ms: int, count: HourCount, last_seq: Mapping[str, int]) -> dict[str, int]:
        """Give by edge how many numbers of the hour are not accounted for.

        `last_seq` are the greatest numbers of earlier hours that the ledger does not know yet.
        """
        ledger = self._ledger
        marks = ledger.marks_of_hour(hour_ms)
        edge_ids = sorted({edge.edge_id for edge in count.edges} | {mark.edge_id for mark in marks})
        return missing_numbers(
            hour_ms,
            count.edges,
            marks,
            ledger.marks(edge_ids, hour_ms),
            ledger.last_seq_before(edge_ids, hour_ms) | {e: last_seq[e] for e in edge_ids if e in last_seq},
            ledger.absences(edge_ids),
        )

    def _prepare(self, found: "_Found", now: Pass, batch: Batch, note: str) -> HourLine | None:
        differences = self._differences(found)
        if differences is None:
            differences = _of_outcomes(found.previous, found.count.outcomes)
            note = "; ".join(filter(None, (note, "the minutes were no longer in the store: cells were not compared")))
        if now.compare and found.unchanged and differences.cells == 0:
            return None
        new = found.line("final", differences, now, self._clock.now_ms(), note)
        if now.dry_run:
            return new
        if not found.previous and found.count.manifest.events == 0:
            # Nothing was there and nothing is: a line is all there is to do.
            batch.lines[found.hour.hour_ms] = new, found.count.edges
            return new
        # Of an hour that was never counted live (imported history) every cell differs, and listing them says nothing.
        listed = differences.listed if sum(found.previous.values()) > 0 else ()
        self._ledger.prepare(new, found.count.edges, listed)
        reach("reconcile.prepared")
        batch.prepared.append(found.hour.hour_ms)
        return new

    def _differences(self, found: "_Found") -> Differences | None:
        """Compare the staged minutes with what was there; None where that is gone by retention."""
        hour_ms = found.hour.hour_ms
        if not found.counted_before:
            return self._writer.staged_differences(hour_ms, hour_ms + HOUR_MS, "live", CHANGED_KEYS_MAX)
        if found.previous and not self._writer.spans("minute", hour_ms, hour_ms + HOUR_MS):
            return None
        return self._writer.staged_differences(hour_ms, hour_ms + HOUR_MS, "minute", CHANGED_KEYS_MAX)

    def _finish_interrupted(self, hour: DueHour, count: HourCount) -> None:
        """Decide about a line that was written and perhaps published by a reconciler that died before it said so."""
        line = self._ledger.prepared(hour.hour_ms)
        if line is None:
            return
        old = self._ledger.line(hour.hour_ms)
        if line.manifest == count.manifest:
            # The staged minutes are the same: whether they were published or not, they are now.
            spans = self._writer.publish_hours([hour.hour_ms])
            self._ledger.confirm(hour.hour_ms, spans, dirty_of(hour.hour_ms))
        elif self._final(hour.hour_ms) == _positive(line.final) != _positive(old.final if old is not None else {}):
            self._ledger.confirm(hour.hour_ms, (), dirty_of(hour.hour_ms))
        else:
            self._ledger.discard(hour.hour_ms)
        reach("reconcile.decided")

    def _previous(self, hour_ms: int, line: HourLine | None) -> dict[str, int]:
        if line is not None and line.revision > 0:
            return _positive(line.final)
        return self._outcomes(AggregateQuery(EVERYONE, (hour_ms, hour_ms + HOUR_MS), ("outcome",)))

    def _final(self, hour_ms: int) -> dict[str, int]:
        spans = self._writer.spans("minute", hour_ms, hour_ms + HOUR_MS)
        if not spans:
            return {}
        query = AggregateQuery(
            EVERYONE,
            (hour_ms, hour_ms + HOUR_MS),
            ("outcome",),
            sources=(Source("minute", hour_ms, hour_ms + HOUR_MS),),
        )
        return self._outcomes(query)

    def _outcomes(self, query: AggregateQuery) -> dict[str, int]:
        return _positive({str(row.group[0]): row.clicks for row in self._reader.aggregate(query)})


class _Found(msgspec.Struct, frozen=True):
    """One recounted hour beside what was said of it before."""

    hour: DueHour
    count: HourCount
    old: HourLine | None
    missing: int
    previous: dict[str, int]

    @property
    def counted_before(self) -> bool:
        return self.old is not None and self.old.revision > 0

    @property
    def unchanged(self) -> bool:
        old = self.old
        return old is not None and old.state == "final" and old.manifest == self.count.manifest and self.counted_before

    def line(self, state: HourState, differences: Differences, now: Pass, finished_ms: int, note: str) -> HourLine:
        """Give the hour's new line. An hour that is not final keeps what was published of it, and its revision."""
        published = self.old.revision if self.old is not None else 0
        stays = state != "final"
        rises = not stays and (published == 0 or differences.cells > 0)
        return HourLine(
            hour_ms=self.hour.hour_ms,
            kind=now.kind,
            state=state,
            revision=published + rises,
            manifest=self.old.manifest if stays and self.old is not None and published else self.count.manifest,
            files=self.hour.fingerprint,
            previous=self.previous,
            final=self.previous if stays and published else _positive(self.count.outcomes),
            keys_differed=differences.cells,
            difference=differences.events,
            missing=self.missing,
            late=self.count.late,
            rules=self.hour.rules,
            engine=now.engine,
            started_ms=now.started_ms,
            finished_ms=finished_ms,
            note=note,
        )


def dirty_of(hour_ms: int) -> tuple[tuple[Grain, int], ...]:
    """Give the day and the month that no longer hold what a newly published hour does."""
    return ("day", day_of(hour_ms)), ("month", month_of(hour_ms))


def _of_hour(spans: Sequence[Span], hour_ms: int) -> list[Span]:
    return [span for span in spans if span.grain == "minute" and span.start_ms == hour_ms]


def _positive(outcomes: Mapping[str, int]) -> dict[str, int]:
    return {outcome: events for outcome, events in outcomes.items() if events}


def _of_outcomes(old: Mapping[str, int], new: Mapping[str, int]) -> Differences:
    by_outcome = [abs(new.get(outcome, 0) - old.get(outcome, 0)) for outcome in old.keys() | new.keys()]
    return Differences(sum(1 for each in by_outcome if each), sum(by_outcome), ())


def _says_the_same(line: HourLine, other: HourLine) -> bool:
    return (line.state, line.files, line.missing, line.note) == (other.state, other.files, other.missing, other.note)
