"""Counts of the API itself, for Prometheus."""

from functools import partial
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from adtally.clock import Clock
from adtally.errors import StoreUnavailableError
from adtally.ledger.port import HourState, Ledger
from adtally.serve.progress import Progress
from adtally.serve.standing import LedgerWatch, Standing

STREAM_GAUGES: Final = {
    "adtally_stream_dedup_entries": ("dedup_entries", "Clicks that are remembered to find duplicates of"),
    "adtally_stream_open_cells": ("open_cells", "Cells of minutes that can still grow"),
    "adtally_stream_events": ("events", "Events processed since the stream's start, replayed ones included"),
    "adtally_stream_duplicates": ("duplicates", "Duplicates since the stream's start"),
    "adtally_stream_late": ("late", "Late events since the stream's start, left to the recount"),
    "adtally_stream_repeats": (
        "repeats",
        "Events since the stream's start that the log held already, not counted again",
    ),
    "adtally_stream_dead_letters": ("dead_letters", "Pieces of the log that could not be parsed"),
}
"""What the stream says of itself: metric, field of StreamReport, meaning."""

CacheOutcome = Literal["hit", "miss", "uncached", "flight", "error"]

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meter:
    """One application's counts, in a registry of its own."""

    def __init__(self, clock: Clock, progress: Progress, watch: LedgerWatch, ledger: Ledger) -> None:
        self._registry = CollectorRegistry()
        self._ledger = _LedgerGauges(self._registry, clock, watch, ledger)
        self._requests = Counter(
            "adtally_serve_requests", "Answered requests", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "adtally_serve_request_seconds",
            "Time to the end of an answer",
            ["route"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        shared = Counter(
            "adtally_serve_cache",
            "Questions by where their answer came from: the cache (hit), a query whose answer is kept (miss) or is not "
            "(uncached), another one's query (flight); and failures of the cache (error)",
            ["outcome"],
            registry=self._registry,
        )
        self._cache: dict[CacheOutcome, Counter] = {name: shared.labels(name) for name in get_args(CacheOutcome)}
        # Binding labels costs three times as much as counting.
        self._bound_requests: dict[tuple[str, int], Counter] = {}
        self._bound_seconds: dict[str, Histogram] = {}

        def lag_s() -> float:
            as_of_ms = progress.as_of_ms
            return float("nan") if as_of_ms is None else max(0, clock.now_ms() - as_of_ms) / 1000

        Gauge(
            "adtally_serve_lag_seconds",
            "From as_of, before which everything is counted, to now; NaN before the stream's first report",
            registry=self._registry,
        ).set_function(lag_s)
        for name, (field, meaning) in STREAM_GAUGES.items():
            Gauge(name, f"{meaning}; NaN before its first report", registry=self._registry).set_function(
                partial(_reported, progress, field)
            )

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is its address with the parameters' names."""
        requests = self._bound_requests.get((route, status))
        if requests is None:
            requests = self._bound_requests[route, status] = self._requests.labels(route, str(status))
        seconds_of_route = self._bound_seconds.get(route)
        if seconds_of_route is None:
            seconds_of_route = self._bound_seconds[route] = self._seconds.labels(route)
        requests.inc()
        seconds_of_route.observe(seconds)

    def count_cache(self, outcome: CacheOutcome) -> None:
        """Count a question that the cache could have answered, or a failure of the cache."""
        self._cache[outcome].inc()

    def exposition(self) -> bytes:
        """Give all numbers in Prometheus' text format. Asks the ledger, so it may block."""
        self._ledger.refresh()
        return generate_latest(self._registry)


def _reported(progress: Progress, field: str) -> float:
    return float("nan") if progress.report is None else float(getattr(progress.report, field))


class _LedgerGauges:
    """What the ledger says of all hours; NaN while it does not answer."""

    def __init__(self, registry: CollectorRegistry, clock: Clock, watch: LedgerWatch, ledger: Ledger) -> None:
        self._clock = clock
        self._ledger = ledger
        self._watch = watch
        hours = Gauge("adtally_ledger_hours", "Hours by the state of their newest line", ["state"], registry=registry)
        self._hours: dict[HourState, Gauge] = {state: hours.labels(state) for state in get_args(HourState)}
        self._missing = Gauge(
            "adtally_ledger_missing", "Numbers that edges gave and that are not in the lake", registry=registry
        )
        self._difference = Gauge(
            "adtally_ledger_difference", "Sum of what the newest lines of all hours corrected", registry=registry
        )
        self._final_age_s = Gauge(
            "adtally_ledger_final_age_seconds",
            "From final_through, before which everything is final, to now; NaN before the first line",
            registry=registry,
        )

        self._archiver_lag_s = Gauge(
            "adtally_archiver_lag_seconds",
            "From the time before which everything appended to a partition is in the lake, to now",
            ["partition"],
            registry=registry,
        )

    def refresh(self) -> None:
        """Take the ledger's numbers."""
        self._refresh_archiver()
        try:
            standing: Standing | None = self._watch.look()
        except StoreUnavailableError:
            standing = None
        for state, gauge in self._hours.items():
            gauge.set(float("nan") if standing is None else standing.hours.get(state, 0))
        self._missing.set(float("nan") if standing is None else standing.missing)
        self._difference.set(float("nan") if standing is None else standing.difference)
        through_ms = None if standing is None else standing.finality.final_through_ms
        age_s = float("nan") if through_ms is None else max(0, self._clock.now_ms() - through_ms) / 1000
        self._final_age_s.set(age_s)

    def _refresh_archiver(self) -> None:
        self._archiver_lag_s.clear()
        try:
            notes = self._ledger.archive()
        except StoreUnavailableError:
            return
        for note in notes:
            lag_s = max(0, self._clock.now_ms() - note.passed_ms) / 1000
            self._archiver_lag_s.labels(note.partition).set(lag_s)
