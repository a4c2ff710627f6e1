"""What of its host a worker shows beside its own counts: room on the disk, and which workers are gone."""

import shutil
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.multiprocess import mark_process_dead

from adtally.folder import is_alive

DISK_FREE: Final = ("adtally_disk_free_bytes", "Room for this user on the disk of the data folder")
DISK_SIZE: Final = ("adtally_disk_size_bytes", "Size of the disk of the data folder")
STARTED: Final = ("adtally_edge_start_time_seconds", "When the worker that started last did so, since 1970")


class EdgeHost:
    """Gauges of the host, in the folder of metrics that all workers of this host share."""

    def __init__(self, root: Path, metrics: Path, started_ms: int) -> None:
        """`root` is the data folder, `metrics` is PROMETHEUS_MULTIPROC_DIR; the worker began at `started_ms`."""
        self._root: Final = root
        self._metrics: Final = metrics
        registry = CollectorRegistry()
        self._free = Gauge(*DISK_FREE, registry=registry, multiprocess_mode="livemostrecent")
        self._size = Gauge(*DISK_SIZE, registry=registry, multiprocess_mode="livemostrecent")
        started = Gauge(*STARTED, registry=registry, multiprocess_mode="livemax")
        started.set(started_ms / 1000)

    def publish(self) -> None:
        """Look at the disk, and forget the gauges of workers that died: one that is gone is not unready for ever."""
        usage = shutil.disk_usage(self._root)
        self._free.set(usage.free)
        self._size.set(usage.total)
        for pid in {int(path.stem.rpartition("_")[2]) for path in self._metrics.glob("gauge_live*_*.db")}:
            if not is_alive(pid):
                mark_process_dead(pid, str(self._metrics))  # type: ignore[no-untyped-call]  # no types here
