"""Metrics of readers, processes, disks and workers that died."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import msgspec
import pytest
from deploy.local.server import free_port

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, TelemetryConfig
from adtally.errors import AdtallyError
from adtally.eventlog.port import Partition, Position
from adtally.folder import DataFolder, RunInfo
from adtally.lake.archiver import ArchiverReport, PartitionReport
from adtally.wiring.meters import METERS, ReaderCollector, more_metrics, write_metrics
from adtally.wiring.seen import Seen, metrics_shown
from support.embedded import wait_for

LATER_S = 60
"""What the machine may take between a time that is noted and its age that is shown."""


def folder(root: Path) -> DataFolder:
    made = DataFolder(root / "data")
    made.prepare()
    made.run.mkdir()
    return made


def value(text: str, series: str) -> float:
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{series} ")]
    assert found, f"{series} is not in\n{text}"
    return float(found[0])


def archived(passed_ms: int, oldest_ms: int | None) -> ArchiverReport:
    partition = PartitionReport(Partition("edge-0"), Position("1"), passed_ms, oldest_ms, 5)
    return ArchiverReport((partition,), 700, 5, 1, 300, 0, 1, 2, "")


def shown(place: DataFolder, seen: Seen) -> str:
    write_metrics(place, "counter", ReaderCollector(seen))
    return more_metrics(place)().decode()


def test_readers_tell_how_far_behind_they_are_and_the_archiver_what_it_holds(tmp_path: Path) -> None:
    seen, now_ms = Seen("stream"), SYSTEM_CLOCK.now_ms()
    seen.as_of_ms["stream"] = now_ms - 3_000
    seen.archiver = archived(now_ms - 20_000, now_ms - 90_000)
    text = shown(folder(tmp_path), seen)
    assert 3 <= value(text, 'adtally_reader_lag_seconds{reader="stream"}') < 3 + LATER_S
    assert 20 <= value(text, 'adtally_reader_lag_seconds{reader="archiver"}') < 20 + LATER_S
    assert 90 <= value(text, "adtally_archiver_oldest_unarchived_seconds") < 90 + LATER_S
    assert value(text, "adtally_archiver_buffered_bytes") == 700
    assert value(text, "adtally_archiver_flush_failures_total") == 2
    assert value(text, "adtally_disk_size_bytes") >= value(text, "adtally_disk_free_bytes") > 0


def test_a_reader_that_stopped_before_its_first_report_is_seen(tmp_path: Path) -> None:
    seen = Seen("stream")
    seen.stopped.add("archiver")
    text = shown(folder(tmp_path), seen)
    assert value(text, 'adtally_reader_stopped{reader="archiver"}') == 1
    assert value(text, 'adtally_reader_stopped{reader="stream"}') == 0
    assert value(text, 'adtally_reader_lag_seconds{reader="stream"}') != value(
        text, 'adtally_reader_lag_seconds{reader="stream"}'
    ), "what is not known is no number"


def test_what_a_silent_role_said_last_is_not_shown_for_ever(tmp_path: Path) -> None:
    place = folder(tmp_path)
    assert "adtally_reader_lag_seconds" in shown(place, Seen("stream"))
    minute_ago_s = time.time() - 60
    os.utime(place.run / METERS / "counter.prom", (minute_ago_s, minute_ago_s))
    assert "adtally_reader_lag_seconds" not in more_metrics(place)().decode()


def test_processes_of_a_running_system_are_shown_and_those_of_one_that_ended_are_not(tmp_path: Path) -> None:
    place, now_ms = folder(tmp_path), SYSTEM_CLOCK.now_ms()
    pids = {"edge-0": os.getpid(), "store": os.getpid()}
    loops = {"edge-0": now_ms - 1_000, "store": now_ms - 61_000}
    run = RunInfo(os.getpid(), "", "", "1", now_ms, pids, {"edge-0": 4, "store": 0}, loops)
    place.run_info.write_bytes(msgspec.json.encode(run))
    assert "adtally_process_restarts_total{" not in more_metrics(place)().decode()
    lock = place.take_lock()
    try:
        text = more_metrics(place)().decode()
    finally:
        os.close(lock)
    assert value(text, 'adtally_process_restarts_total{process="edge-0"}') == 4
    assert value(text, 'adtally_process_crash_looping{process="edge-0"}') == 1
    assert value(text, 'adtally_process_crash_looping{process="store"}') == 0
    if sys.platform == "linux":
        assert value(text, 'adtally_process_memory_bytes{process="store"}') > 1_000_000


def test_a_role_alone_shows_its_metrics_at_its_own_address_until_it_ends(tmp_path: Path) -> None:
    port = free_port()
    config = Config(telemetry=TelemetryConfig(metrics_port=port))
    seen = Seen("stream")
    url = f"http://127.0.0.1:{port}/-/metrics"
    with metrics_shown(folder(tmp_path), config, "stream", seen), urllib.request.urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    assert value(text, 'adtally_reader_stopped{reader="stream"}') == 0
    assert value(text, "adtally_disk_free_bytes") > 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=60)


def test_an_address_that_is_taken_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        config = Config(telemetry=TelemetryConfig(metrics_port=holder.getsockname()[1]))
        with (
            pytest.raises(AdtallyError, match=r"telemetry\.metrics_port"),
            metrics_shown(folder(tmp_path), config, "stream", Seen()),
        ):
            pass


def test_without_an_address_a_role_leaves_its_metrics_in_the_folder_until_it_ends(tmp_path: Path) -> None:
    place = folder(tmp_path)
    file = place.run / METERS / "archiver.prom"
    with metrics_shown(place, Config(), "archiver", Seen("archiver")):
        wait_for(file.exists, 60, "the role's metrics")
    assert not file.exists()


WORKER = """
import json, os, sys
from pathlib import Path
from adtally.config import set_for_children
set_for_children("PROMETHEUS_MULTIPROC_DIR", sys.argv[1])
from adtally.edge.host import EdgeHost
from adtally.edge.stats import EdgeStats
stats, host = EdgeStats(), EdgeHost(Path(sys.argv[1]), Path(sys.argv[1]), int(sys.argv[2]))
stats.count["recorded"] = 5
stats.batch_seconds.observe(0.003)
stats.publish(3, 4, 0, ready=sys.argv[3] == "ready")
host.publish()
sys.stdout.write(stats.render().decode())
"""


def worker(metrics: Path, started_ms: int, state: str) -> str:
    command = [sys.executable, "-c", WORKER, str(metrics), str(started_ms), state]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_worker_that_died_unready_leaves_its_counts_and_not_its_state(tmp_path: Path) -> None:
    first = worker(tmp_path, 1_000_000, "unready")
    assert value(first, "adtally_edge_ready") == 0
    second = worker(tmp_path, 2_000_000, "ready")
    assert value(second, "adtally_edge_ready") == 1
    assert value(second, "adtally_edge_connections") == 3
    assert value(second, "adtally_edge_recorded_total") == 10
    assert value(second, 'adtally_edge_batch_seconds_bucket{le="0.005"}') == 2
    assert value(second, 'adtally_edge_batch_seconds_bucket{le="0.002"}') == 0
    assert value(second, "adtally_edge_start_time_seconds") == 2_000
    assert value(second, "adtally_disk_free_bytes") > 0
