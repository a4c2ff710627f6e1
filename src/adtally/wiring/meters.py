"""Metrics beside those of edges and API: of readers of the log, of the supervisor's processes, of the disk."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adtally.clock import SYSTEM_CLOCK
from adtally.edge.host import DISK_FREE, DISK_SIZE
from adtally.folder import DataFolder
from adtally.wiring.seen import Seen

NAN: Final = float("nan")
FRESH_MS: Final = 15_000
METERS: Final = "meters"
"""The folder, in that of the running system, where roles without a port of their own leave their metrics."""


class ReaderCollector(Collector):
    """How far readers have come, as their own process knows it."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        """Give all numbers."""
        archived = self._seen.archiver
        readers = dict(self._seen.as_of_ms)
        if archived is not None:
            readers["archiver"] = min((each.passed_ms for each in archived.partitions), default=0)
        now_ms = SYSTEM_CLOCK.now_ms()
        lag = GaugeMetricFamily(
            "adtally_reader_lag_seconds",
            "From the time before which a reader has handed everything on, to now; NaN while it does not know",
            labels=["reader"],
        )
        stopped = GaugeMetricFamily(
            "adtally_reader_stopped",
            "1 if a reader has stopped because its place in the log is gone: it does not go on by itself",
            labels=["reader"],
        )
        for reader in self._seen.stopped:
            readers.setdefault(reader, 0)
        for reader, through_ms in sorted(readers.items()):
            lag.add_metric([reader], max(0, now_ms - through_ms) / 1000 if through_ms else NAN)
            stopped.add_metric([reader], float(reader in self._seen.stopped))
        yield from (lag, stopped)
        if archived is None:
            return
        oldest_ms = [each.oldest_appended_ms for each in archived.partitions if each.oldest_appended_ms is not None]
        yield GaugeMetricFamily(
            "adtally_archiver_oldest_unarchived_seconds",
            "Age of the oldest event that the archiver has read and not yet made durable in the lake; 0 without any",
            value=max(0, now_ms - min(oldest_ms)) / 1000 if oldest_ms else 0.0,
        )
        yield GaugeMetricFamily(
            "adtally_archiver_buffered_bytes",
            "Of the log, read by the archiver and not yet durable",
            value=archived.buffered_bytes,
        )
        for name, meaning, value in (
            ("events", "Events that the archiver wrote, repeated ones included", archived.events),
            ("files", "Files that the archiver wrote", archived.files),
            ("written_bytes", "Bytes of files that the archiver wrote", archived.file_bytes),
            ("flushes", "Flushes that the archiver finished", archived.flushes),
            ("flush_failures", "Attempts at a flush that failed and were repeated", archived.failures),
        ):
            yield CounterMetricFamily(f"adtally_archiver_{name}", f"{meaning}, since its start", value=value)


class FolderCollector(Collector):
    """The disk of a data folder; and the processes of a system that runs on it, where one does."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Give all numbers."""
        yield from _disk(self._folder.root)
        restarts = CounterMetricFamily(
            "adtally_process_restarts", "Restarts of a process by the supervisor, since its start", labels=["process"]
        )
        looping = GaugeMetricFamily(
            "adtally_process_crash_looping",
            "1 if a process died four times within a minute, for a minute from the last time",
            labels=["process"],
        )
        memory = GaugeMetricFamily(
            "adtally_process_memory_bytes", "Resident memory of a process of the supervisor", labels=["process"]
        )
        run = self._folder.running()
        for process, number in sorted({} if run is None else run.restarts.items()):
            restarts.add_metric([process], number)
        if run is not None:
            for process, pid in sorted({"supervisor": run.supervisor_pid, **run.pids}.items()):
                looping.add_metric([process], float(run.is_crash_looping(process, SYSTEM_CLOCK.now_ms())))
                memory.add_metric([process], _resident_bytes(pid))
        yield from (restarts, looping, memory)


class _DiskCollector(Collector):
    def __init__(self, root: Path) -> None:
        self._root = root

    def collect(self) -> Iterator[Metric]:
        """Give both gauges."""
        yield from _disk(self._root)


class MetricsListener:
    """Shows a role's metrics, its process's and its disk's, at an address of its own, whatever the path."""

    def __init__(self, host: str, port: int, root: Path, collector: Collector) -> None:
        """Raise OSError where the address cannot be used."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(collector)
        registry.register(_DiskCollector(root))
        self._server, self._thread = start_http_server(port, host, registry)

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def write_metrics(folder: DataFolder, role: str, collector: Collector) -> None:
    """Leave a role's metrics where the folder's API server finds them. Raises OSError."""
    registry = CollectorRegistry()
    registry.register(collector)
    target = folder.run / METERS / f"{role}.prom"
    target.parent.mkdir(exist_ok=True)
    unfinished = target.with_suffix(".new")
    # Not durable: it is of a running system.
    unfinished.write_bytes(generate_latest(registry))
    unfinished.replace(target)


def remove_metrics(folder: DataFolder, role: str) -> None:
    """Take away what a role left that ends."""
    (folder.run / METERS / f"{role}.prom").unlink(missing_ok=True)


def more_metrics(folder: DataFolder) -> Callable[[], bytes]:
    """Give what shows, in Prometheus' text format, what there is beside the API's own numbers."""
    registry = CollectorRegistry()
    registry.register(FolderCollector(folder))

    def show() -> bytes:
        return b"".join([generate_latest(registry), *_fresh(folder.run / METERS)])

    return show


def _fresh(meters: Path) -> Iterator[bytes]:
    """Give what roles left lately: of one that is silent nothing is better than what was true once."""
    for file in sorted(meters.glob("*.prom")):
        try:
            written_ms = file.stat().st_mtime_ns // 1_000_000
            content = file.read_bytes()
        except FileNotFoundError:
            continue
        if abs(SYSTEM_CLOCK.now_ms() - written_ms) < FRESH_MS:
            yield content


def _disk(root: Path) -> Iterator[Metric]:
    usage = shutil.disk_usage(root)
    yield GaugeMetricFamily(*DISK_FREE, value=usage.free)
    yield GaugeMetricFamily(*DISK_SIZE, value=usage.total)


def _resident_bytes(pid: int) -> float:
    """Give a process's resident memory, NaN where that is not to be had."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return NAN
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
