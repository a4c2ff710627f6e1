"""Counts of the edge: plain integers while clicks pass, Prometheus metrics at each heartbeat.

prometheus_client's multi-process mode keeps each worker's metrics in a mapped file of one folder, so that any worker
can show the sum of all. It chooses the mode when it is imported: PROMETHEUS_MULTIPROC_DIR must be set by then.
"""

from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from adtally.event import VERDICTS

Count = Literal[
    "recorded",
    "connections_accepted",
    "connections_refused",
    "batches_durable",
    "batches_failed",
    "clock_jumps",
    "defects",
    "refresh_failures",
]
Unrecorded = Literal["log_failed", "log_slow", "queue_full"]
Refused = Literal[
    "bad_head", "head_too_large", "head_timeout", "bad_parameter", "unknown_ad", "unknown_path", "method", "forbidden"
]

_COUNTERS: Final[dict[Count, tuple[str, str]]] = {
    "recorded": ("adtally_edge_recorded", "Redirects whose click is durable in the log"),
    "connections_accepted": ("adtally_edge_connections_accepted", "Connections that were accepted"),
    "connections_refused": ("adtally_edge_connections_refused", "Connections closed at once, before the gate was shut"),
    "batches_durable": ("adtally_edge_batches_durable", "Appends that the log kept"),
    "batches_failed": ("adtally_edge_batches_failed", "Appends that the log could not keep"),
    "clock_jumps": ("adtally_edge_clock_jumps", "Times the clock went back by more than a second: see to the clock"),
    "defects": ("adtally_edge_defects", "Requests answered 500: see the log for the reason"),
    "refresh_failures": ("adtally_edge_refresh_failures", "Failed looks for changed ads"),
}


class EdgeStats:
    """One worker's counts. Only whole numbers are touched between heartbeats."""

    def __init__(self) -> None:
        self.count: dict[Count, int] = dict.fromkeys(get_args(Count), 0)
        self.events: dict[str, int] = dict.fromkeys(VERDICTS, 0)
        self.unrecorded: dict[Unrecorded, int] = dict.fromkeys(get_args(Unrecorded), 0)
        self.refused: dict[Refused, int] = dict.fromkeys(get_args(Refused), 0)
        self.append_s = 0.0
        """Seconds spent in appends."""
        self._registry = CollectorRegistry()
        self._metrics = {name: Counter(*text, registry=self._registry) for name, text in _COUNTERS.items()}
        self._append_seconds = Counter(
            "adtally_edge_append_seconds", "Seconds that appends to the log took", registry=self._registry
        )
        self._labelled = [
            (self.events, self._counter("events", "Events by verdict", "verdict", tuple(VERDICTS))),
            (
                self.unrecorded,
                self._counter("unrecorded", "Redirects without a kept click", "reason", get_args(Unrecorded)),
            ),
            (self.refused, self._counter("refused", "Requests that made no event", "reason", get_args(Refused))),
        ]
        self._connections = self._gauge("connections", "Open connections", "livesum")
        self._pending = self._gauge("pending_events", "Events that wait for the log", "livesum")
        self._ready = self._gauge("ready", "1 if every worker's log takes clicks", "livemin")
        self._shown: dict[object, float] = {}

    def publish(self, connections: int, pending: int, *, ready: bool) -> None:
        """Bring the metrics up to date."""
        for name, counter in self._metrics.items():
            self._show(counter, self.count[name])
        for counts, children in self._labelled:
            for label, child in children.items():
                self._show(child, counts[label])  # type: ignore[index]  # the labels are the counts' own keys
        self._show(self._append_seconds, self.append_s)
        self._connections.set(connections)
        self._pending.set(pending)
        self._ready.set(ready)

    def _show(self, counter: Counter, value: float) -> None:
        shown = self._shown.get(counter, 0)
        if value != shown:
            counter.inc(value - shown)
            self._shown[counter] = value

    def _counter(self, name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Counter]:
        counter = Counter(f"adtally_edge_{name}", text, [label], registry=self._registry)
        return {value: counter.labels(value) for value in values}

    def _gauge(self, name: str, text: str, mode: Literal["livesum", "livemin"]) -> Gauge:
        return Gauge(f"adtally_edge_{name}", text, registry=self._registry, multiprocess_mode=mode)

    def render(self) -> bytes:
        """Give all workers' metrics in Prometheus' text format, or this one's where it is alone."""
        registry = CollectorRegistry()
        try:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the package has no types here
        except ValueError:
            registry = self._registry
        return generate_latest(registry)
