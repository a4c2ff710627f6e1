"""Counts of the API itself, for Prometheus."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from adtally.clock import Clock
from adtally.serve.progress import Progress

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meter:
    """One application's counts, in a registry of its own."""

    def __init__(self, clock: Clock, progress: Progress) -> None:
        self._registry = CollectorRegistry()
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

    def exposition(self) -> bytes:
        """Give all numbers in Prometheus' text format."""
        return generate_latest(self._registry)
