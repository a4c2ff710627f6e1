"""Which numbers are final: what the ledger's lines say about every hour, and so about every bucket. Pure.

Hours get their lines in their order. So nothing was received in an hour that has none where a later one has: it is
final with revision 0 (and the ledger need not hold a line for each hour since a click of 2011 was imported). Hours
behind the last line are open. A `damaged` hour with a revision keeps its published numbers and stays final, for the
ledger tells of the damage; an hour that was published and is open again shows the published numbers as provisional
ones, for its live minutes may be gone and never knew late events.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from adtally.ledger.port import LineSummary
from adtally.utc import HOUR_MS

Status = Literal["provisional", "final"]

Held = Literal["nothing", "live", "final"]
"""Where an hour's numbers are: nowhere, for it has none; in the live table; in the final tables."""

BEGINNING_MS: Final = 0
ENDLESS_MS: Final = 1 << 62


class Run(msgspec.Struct, frozen=True):
    """Adjoining hours of which the same is to be said."""

    start_ms: int
    end_ms: int
    status: Status
    held: Held
    revision: int


class BucketFinality(msgspec.Struct, frozen=True, gc=False):
    """Of a bucket: final if all of its hours are; the greatest of their revisions."""

    status: Status
    revision: int


class Finality(msgspec.Struct, frozen=True):
    """What is to be said of all times: adjoining `runs` from BEGINNING_MS to ENDLESS_MS."""

    runs: tuple[Run, ...]
    starts_ms: tuple[int, ...]
    first_ms: int | None
    """The hour of the ledger's first line; None without any."""
    final_through_ms: int | None
    """Everything before is final, without a gap; None without a line."""

    def between(self, start_ms: int, end_ms: int) -> Iterator[Run]:
        """Give the runs that [start_ms, end_ms) touches, cut to it."""
        for run in self.runs[bisect_right(self.starts_ms, start_ms) - 1 :]:
            if run.start_ms >= end_ms:
                return
            if start_ms <= run.start_ms and run.end_ms <= end_ms:
                yield run
            else:
                cut = {"start_ms": max(run.start_ms, start_ms), "end_ms": min(run.end_ms, end_ms)}
                yield msgspec.structs.replace(run, **cut)

    def of_buckets(self, edges_ms: Sequence[int], now_ms: int) -> list[BucketFinality]:
        """Give for each bucket [edges_ms[i], edges_ms[i+1]) what is to be said of it.

        One that ends after `now_ms` is provisional, whatever its hours are.
        """
        found: list[BucketFinality] = []
        if len(edges_ms) < 2:
            return found
        at = bisect_right(self.starts_ms, edges_ms[0]) - 1
        begin_ms = edges_ms[0]
        for end_ms in edges_ms[1:]:
            while self.runs[at].end_ms <= begin_ms:
                at += 1
            run = self.runs[at]
            status, revision, last = run.status, run.revision, at
            while run.end_ms < end_ms:
                last += 1
                run = self.runs[last]
                status = "provisional" if run.status == "provisional" else status
                revision = max(revision, run.revision)
            found.append(BucketFinality("provisional" if end_ms > now_ms else status, revision))
            begin_ms = end_ms
        return found

    def open_hours(self, now_ms: int) -> int:
        """Give how many hours since the ledger's first, the one that holds `now_ms` included, are not final."""
        if self.first_ms is None:
            return 0
        until_ms = now_ms - now_ms % HOUR_MS + HOUR_MS
        runs = self.between(self.first_ms, max(until_ms, self.first_ms))
        return sum((run.end_ms - run.start_ms) // HOUR_MS for run in runs if run.status == "provisional")


def finality_of(newest: Mapping[int, LineSummary]) -> Finality:
    """Give what the newest line of each hour, by its start, says of all times."""
    if not newest:
        return Finality((_run(BEGINNING_MS, ENDLESS_MS, "live"),), (BEGINNING_MS,), None, None)
    first_ms = min(newest)
    runs = [_run(BEGINNING_MS, first_ms, "nothing")]
    for hour_ms in sorted(newest):
        if runs[-1].end_ms < hour_ms:
            runs.append(_run(runs[-1].end_ms, hour_ms, "nothing"))
        hour = _said(newest[hour_ms])
        before = runs[-1]
        if (before.status, before.held, before.revision) == (hour.status, hour.held, hour.revision):
            runs[-1] = msgspec.structs.replace(before, end_ms=hour.end_ms)
        else:
            runs.append(hour)
    runs.append(_run(runs[-1].end_ms, ENDLESS_MS, "live"))
    through_ms = next(run.start_ms for run in runs if run.status == "provisional")
    return Finality(tuple(runs), tuple(run.start_ms for run in runs), first_ms, through_ms)


def _said(line: LineSummary) -> Run:
    settled = line.state in ("final", "frozen") or (line.state == "damaged" and line.revision >= 1)
    published = settled or line.revision >= 1
    return Run(
        line.hour_ms,
        line.hour_ms + HOUR_MS,
        "final" if settled else "provisional",
        "final" if published else "live",
        line.revision,
    )


def _run(start_ms: int, end_ms: int, held: Held) -> Run:
    return Run(start_ms, end_ms, "provisional" if held == "live" else "final", held, 0)
