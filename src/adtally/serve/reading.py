"""What one answer is read from: the ledger first, and then the tables that it names.

In this order a correction that is published meanwhile may be in the numbers before it is in their revision, and never
the other way round.
"""

from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

import msgspec

from adtally.buckets import Buckets, Granularity, buckets
from adtally.errors import NoLongerKeptError
from adtally.ledger.port import Ledger
from adtally.olap.port import Grain, Source
from adtally.serve.caller import Call
from adtally.serve.finality import BucketFinality
from adtally.serve.services import Services
from adtally.serve.standing import LedgerWatch, Standing
from adtally.serve.tables import Kept, first_gone, fitting_grains, kept_at, plan
from adtally.serve.values import rfc3339
from adtally.utc import DAY_MS

GRANULARITIES: Final[tuple[Granularity, ...]] = get_args(Granularity)
"""Finest first."""

_BUILT: Final[tuple[Grain, ...]] = ("day", "month")


class Reading(msgspec.Struct, frozen=True):
    """The ledger as it was when the answer was begun."""

    standing: Standing
    kept: Kept
    ledger: Ledger
    now_ms: int

    @property
    def final_through(self) -> str | None:
        """Give the time up to which everything is final, as it is written in answers."""
        through_ms = self.standing.finality.final_through_ms
        return None if through_ms is None else rfc3339(through_ms)

    def of_buckets(self, edges_ms: tuple[int, ...]) -> list[BucketFinality]:
        """Give what is to be said of each bucket."""
        return self.standing.finality.of_buckets(edges_ms, self.now_ms)

    def sources(self, edges_ms: tuple[int, ...]) -> tuple[Source, ...]:
        """Give what to read for one bucket or more. Raises NoLongerKeptError, StoreUnavailableError."""
        sources = self._planned(edges_ms)
        if (gone := self._gone(sources)) is not None:
            raise NoLongerKeptError("end" if gone.start_ms > edges_ms[0] else "start", self._advice(gone))
        return sources

    def sources_of_buckets(self, found: Buckets, granularity: Granularity, zone: ZoneInfo) -> tuple[Source, ...]:
        """Give what to read for a series. Raises NoLongerKeptError that names the finest granularity still there."""
        sources = self._planned(found.edges_ms)
        if (gone := self._gone(sources)) is None:
            return sources
        for coarser in GRANULARITIES[GRANULARITIES.index(granularity) + 1 :]:
            instead = buckets(found.edges_ms[0], found.edges_ms[-1], coarser, zone, found.edges_ms[-1])
            if self._gone(self._planned(instead.edges_ms)) is None:
                raise NoLongerKeptError(
                    "granularity",
                    f"{granularity} is no longer kept for all of this range: the finest that still is there is "
                    f"{coarser}; {self._advice(gone)}",
                )
        raise NoLongerKeptError("granularity", self._advice(gone))

    def _gone(self, sources: tuple[Source, ...]) -> Source | None:
        return first_gone(sources, self.kept, self.standing.finality.first_ms)

    def _planned(self, edges_ms: tuple[int, ...]) -> tuple[Source, ...]:
        start_ms, end_ms = edges_ms[0], edges_ms[-1]
        built: dict[Grain, set[int]] = {}
        if end_ms - start_ms >= DAY_MS:
            for grain in _BUILT:
                if grain in fitting_grains(edges_ms):
                    built[grain] = {span.start_ms for span in self.ledger.spans(grain, start_ms, end_ms)}
        return plan(edges_ms, self.standing.finality, built)

    def _advice(self, gone: Source) -> str:
        begin_ms = max(gone.start_ms, self.standing.finality.first_ms or 0)
        if gone.table == "quarter_hour" or begin_ms < self.kept.quarter_hours_from_ms:
            return (
                f"before {rfc3339(self.kept.quarter_hours_from_ms)} only UTC days are kept: ask for days, weeks or "
                "months there, in UTC, from and to midnights"
            )
        return (
            f"before {rfc3339(self.kept.minutes_from_ms)} only quarter hours are kept: ask for hours or more there, "
            "from and to multiples of 15 minutes"
        )


def read_ledger(call: Call[Any, Any]) -> Reading:
    """Take note of what the ledger says now: to be done before any table is read. Raises StoreUnavailableError."""
    return read_ledger_at(call.services, call.watch, call.now_ms)


def read_ledger_at(services: Services, watch: LedgerWatch, now_ms: int) -> Reading:
    """Do the same outside of a call."""
    kept = kept_at(now_ms, services.reconcile.minute_days, services.reconcile.quarter_hour_days)
    return Reading(watch.look(), kept, services.ledger, now_ms)
