"""Counts of the edge: plain integers while clicks pass, Prometheus metrics at each heartbeat.

prometheus_client's multi-process mode keeps each worker's metrics in a mapped file of one folder, so that any worker
can show the sum of all. It chooses the mode when it is imported: PROMETHEUS_MULTIPROC_DIR must be set by then.
"""

from collections.abc import Callable
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from adtally.event import VERDICTS
from adtally.eventlog.port import SpoolState

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

BATCH_BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class EdgeStats:
    """One worker's counts. Only whole numbers are touched between heartbeats; `spool` is asked at each."""

    def __init__(self, spool: Callable[[], SpoolState] = SpoolState) -> None:
        self.spool: Final = spool
        self.count: dict[Count, int] = dict.fromkeys(get_args(Count), 0)
        self.events: dict[str, int] = dict.fromkeys(VERDICTS, 0)
        self.unrecorded: dict[Unrecorded, int] = dict.fromkeys(get_args(Unrecorded), 0)
        self.refused: dict[Refused, int] = dict.fromkeys(get_args(Refused), 0)
        self._registry = CollectorRegistry()
        self._metrics = {name: Counter(*text, registry=self._registry) for name, text in _COUNTERS.items()}
        self.batch_seconds = Histogram(
            "adtally_edge_batch_seconds",
            "Time of an append to the log, until what it holds is durable or the append has failed",
            buckets=BATCH_BUCKETS_S,
            registry=self._registry,
        )
        """Is told of each batch: that costs some microseconds, beside an fsync."""
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
        self._crowded = self._gauge("crowded_workers", "Workers that leave new connections to the kernel", "livesum")
        self._ready = self._gauge("ready", "1 if every worker's log takes clicks", "livemin")
        self._spool_bytes = self._gauge("spool_bytes", "Of the disk, held back while the log is away", "livesum")
        self._spool_oldest = self._gauge("spool_oldest_seconds", "Age of the oldest event held back", "livemax")
        self._spool_full = self._gauge("spool_full", "1 if some worker's spool has no room", "livemax")
        self._spool_drained = Counter(
            "adtally_edge_spool_drained", "Events moved from the spool into the log", registry=self._registry
        )
        self._shown: dict[object, float] = {}

    def publish(self, connections: int, pending: int, now_ms: int, *, ready: bool, crowded: bool = False) -> None:
        """Bring the metrics up to date; `now_ms` is UTC epoch ms."""
        for name, counter in self._metrics.items():
            self._show(counter, self.count[name])
        for counts, children in self._labelled:
            for label, child in children.items():
                self._show(child, counts[label])  # type: ignore[index]  # the labels are the counts' own keys
        self._connections.set(connections)
        self._pending.set(pending)
        self._crowded.set(crowded)
        self._ready.set(ready)
        self._publish_spool(self.spool(), now_ms)

    def _publish_spool(self, spool: SpoolState, now_ms: int) -> None:
        oldest_ms = now_ms if spool.oldest_ts_ms is None else spool.oldest_ts_ms
        self._spool_bytes.set(spool.size_bytes)
        self._spool_oldest.set(max(0, now_ms - oldest_ms) / 1000)
        self._spool_full.set(spool.full)
        self._show(self._spool_drained, spool.drained_events)

    def _show(self, counter: Counter, value: float) -> None:
        shown = self._shown.get(counter, 0)
        if value != shown:
            counter.inc(value - shown)
            self._shown[counter] = value

    def _counter(self, name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Counter]:
        counter = Counter(f"adtally_edge_{name}", text, [label], registry=self._registry)
        return {value: counter.labels(value) for value in values}

    def _gauge(self, name: str, text: str, mode: Literal["livesum", "livemin", "livemax"]) -> Gauge:
        return Gauge(f"adtally_edge_{name}", text, registry=self._registry, multiprocess_mode=mode)

    def render(self) -> bytes:
        """Give all workers' metrics in Prometheus' text format, or this one's where it is alone."""
        registry = CollectorRegistry()
        try:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the package has no types here
        except ValueError:
            registry = self._registry
        return generate_latest(registry)
