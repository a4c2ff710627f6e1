"""What a person and an operator see when the log is away and the spool cannot keep clicks either."""

import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import adtally.eventlog.sqlite.ahead
import adtally.eventlog.sqlite.segment
from adtally.clock import SYSTEM_CLOCK
from adtally.config import EdgeConfig
from adtally.edge.worker import run_edge
from adtally.eventlog.port import LogWriter
from adtally.eventlog.spool.drainer import SpoolDrainer
from adtally.eventlog.spool.writer import SpooledWriter
from adtally.registry.port import AdReplica
from support.disk import SimulatedDisk
from unit.edge.running import EDGE_ID, PATIENT_MS, MemoryWriter, RunningEdge, wait_until

CLICK = "/click?ad_id=ad_1&user_id=u"
QUICK = EdgeConfig(heartbeat_ms=20, append_timeout_ms=PATIENT_MS, event_header=True)

FAULTS: dict[str, Callable[[SimulatedDisk, bool], None]] = {
    "full": lambda disk, on: setattr(disk, "full", on),
    "not syncing": lambda disk, on: setattr(disk, "broken", on),
    "failing": lambda disk, on: setattr(disk, "failing", on),
}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedDisk]:
    disk = SimulatedDisk("spool-disk", 1)

    def sync_file(path: Path) -> None:
        if not disk.sync(str(path)):
            raise OSError("the simulated disk does not sync")

    monkeypatch.setattr(adtally.eventlog.sqlite.segment, "sync_file", sync_file)
    monkeypatch.setattr(adtally.eventlog.sqlite.ahead, "append_file", lambda path, more: disk.append(str(path), more))
    yield disk
    disk.unregister()


@contextlib.contextmanager
def spooled(root: Path, bytes_max: int, vfs: str | None = None) -> Iterator[tuple[RunningEdge, MemoryWriter]]:
    """Give a running edge with a spool before its log, and a second writer of the log, which the drainer uses."""
    edge, drain = RunningEdge(QUICK), MemoryWriter()
    drain.records = edge.writer.records
    spool, drainer = SpooledWriter.open(
        edge.writer, drain, root, EDGE_ID, SYSTEM_CLOCK.now_ms(), bytes_max, 60_000, vfs
    )

    serve: Callable[..., Awaitable[None]] = run_edge

    async def run(config: EdgeConfig, replica: AdReplica, _: LogWriter, *rest: Any) -> None:
        await serve(config, replica, spool, *rest, spool=lambda: spool.state)

    edge.run = run
    ended = threading.Event()
    thread = threading.Thread(target=drain_until, args=(drainer, ended))
    thread.start()
    try:
        with edge:
            yield edge, drain
    finally:
        ended.set()
        thread.join()
        drainer.close(SYSTEM_CLOCK.now_ms())


def drain_until(drainer: SpoolDrainer, ended: threading.Event) -> None:
    while not ended.wait(min(0.01, drainer.step(SYSTEM_CLOCK.now_ms()))):
        pass


@pytest.mark.parametrize("fault", FAULTS)
def test_a_spool_whose_disk_fails_claims_nothing_and_keeps_clicks_again_once_it_works(
    tmp_path: Path, disk: SimulatedDisk, fault: str
) -> None:
    with spooled(tmp_path, 1 << 30, disk.name) as (edge, drain):
        assert edge.get(CLICK).recorded
        edge.writer.failing = drain.failing = True
        assert edge.get(CLICK).recorded
        FAULTS[fault](disk, True)
        kept = 2
        while edge.get(CLICK).recorded:
            # A full disk still holds the zeros that were written ahead.
            kept += 1
        failed = [edge.get(CLICK) for _ in range(2)]
        assert [(answer.status, answer.recorded) for answer in failed] == [(302, False)] * 2
        wait_until(lambda: edge.get("/-/readyz").status == 503)
        assert edge.metric('unrecorded_total{reason="log_failed"}') == 3

        FAULTS[fault](disk, False)
        wait_until(lambda: edge.get("/-/readyz").status == 200)
        assert edge.get(CLICK).recorded
        edge.writer.failing = drain.failing = False
        wait_until(lambda: edge.metric("spool_bytes") == 0)
        wait_until(lambda: edge.metric("spool_drained_total") >= 2)

    assert {seq for _, seq in edge.writer.kept()} == {*range(1, kept + 1), kept + 4}
    assert edge.writer.lost() == {(EDGE_ID, kept + lost) for lost in (1, 2, 3)}
    assert edge.closing().last_seq == kept + 4


def test_a_full_spool_is_said_by_metrics_and_readiness_and_no_click_waits_for_the_log(tmp_path: Path) -> None:
    with spooled(tmp_path, 60_000) as (edge, drain):
        edge.writer.failing = drain.failing = True
        kept = 0
        while edge.get(CLICK).recorded:
            kept += 1
        calls = edge.writer.calls
        assert not edge.get(CLICK).recorded
        wait_until(lambda: edge.get("/-/readyz").status == 503)
        assert edge.get("/-/readyz").body == b"the event log is away, and the spool is full\n"
        assert edge.writer.calls == calls
        wait_until(lambda: edge.metric("spool_full") == 1)
        assert 0 < edge.metric("spool_bytes") <= 60_000
        wait_until(lambda: edge.metric("spool_oldest_seconds") > 0)

        edge.writer.failing = drain.failing = False
        wait_until(lambda: edge.get("/-/readyz").status == 200)
        assert edge.get(CLICK).recorded
        # Full no more is it with the first segment that is drained, and empty with the last.
        wait_until(lambda: edge.metric("spool_full") == 0)
        wait_until(lambda: edge.metric("spool_oldest_seconds") == 0)

    assert {seq for _, seq in edge.writer.kept()} == {*range(1, kept + 1), kept + 3}
    assert edge.writer.lost() == {(EDGE_ID, kept + 1), (EDGE_ID, kept + 2)}
