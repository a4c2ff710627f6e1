"""Counts of the API itself, for Prometheus."""

from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adtally.clock import Clock
from adtally.serve.ledger_meter import LedgerCollector, LetterCollector, PassCollector
from adtally.serve.progress import Progress
from adtally.serve.services import Services
from adtally.serve.standing import LedgerWatch

STREAM_COUNTERS: Final = {
    "events": "Events processed, replayed ones included",
    "duplicates": "Duplicates",
    "late": "Late events, left to the recount",
    "repeats": "Events that the log held already, not counted again",
    "dead_letters": "Pieces of the log that could not be parsed",
}
"""Of StreamReport, since the stream's start: field, meaning."""
STREAM_GAUGES: Final = {
    "dedup_entries": "Clicks that are remembered to find duplicates of",
    "open_cells": "Cells of minutes that can still grow",
}

CacheOutcome = Literal["hit", "miss", "uncached", "flight", "error"]

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meter:
    """One application's counts, in a registry of its own."""

    def __init__(self, services: Services, watch: LedgerWatch) -> None:
        self._more: Final = services.more_metrics
        # The start of each counter would be as many series again.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the package has no types here
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        clock, ledger = services.clock, services.ledger
        for collector in (
            LedgerCollector(clock, watch, ledger, services.reconcile.settle_ms),
            PassCollector(clock, services.reconciling),
            LetterCollector(services.letters),
            _StreamCollector(clock, services.progress),
            _ReadyCollector(services.ready),
        ):
            self._registry.register(collector)
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
        """Give all numbers in Prometheus' text format. Asks the stores, so it may block."""
        return generate_latest(self._registry) + self._more()


class _StreamCollector(Collector):
    """What the stream says of itself. Counters are absent before its first report, for NaN would spoil their rates."""

    def __init__(self, clock: Clock, progress: Progress) -> None:
        self._clock = clock
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        """Give all numbers."""
        as_of_ms, report = self._progress.as_of_ms, self._progress.report
        yield GaugeMetricFamily(
            "adtally_serve_lag_seconds",
            "From as_of, before which everything is counted, to now; NaN before the stream's first report",
            value=float("nan") if as_of_ms is None else max(0, self._clock.now_ms() - as_of_ms) / 1000,
        )
        for family, fields, when in (
            (CounterMetricFamily, STREAM_COUNTERS, "since the stream's start"),
            (GaugeMetricFamily, STREAM_GAUGES, "now"),
        ):
            for field, meaning in fields.items():
                value = None if report is None else float(getattr(report, field))
                yield family(f"adtally_stream_{field}", f"{meaning}, {when}", value=value)


class _ReadyCollector(Collector):
    """Whether `/-/readyz` would say yes. May block."""

    def __init__(self, ready: Callable[[], list[str]]) -> None:
        self._ready = ready

    def collect(self) -> Iterator[Metric]:
        """Give the gauge."""
        yield GaugeMetricFamily(
            "adtally_serve_ready", "1 if all stores of this API server answer", value=float(not self._ready())
        )
