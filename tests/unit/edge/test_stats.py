"""Metrics of several workers, shown by any of them."""

import subprocess
import sys
from pathlib import Path

from adtally.edge.stats import EdgeStats
from adtally.eventlog.port import SpoolState

WORKER = """
import sys
from adtally.config import set_for_children
set_for_children("PROMETHEUS_MULTIPROC_DIR", sys.argv[1])
from adtally.edge.stats import EdgeStats
from adtally.eventlog.port import SpoolState
spool = SpoolState(100, 5_000, int(sys.argv[2]), full=sys.argv[2] == "5")
stats = EdgeStats(lambda: spool)
stats.count["recorded"] += int(sys.argv[2])
stats.events["bot"] += 1
stats.publish(3, 4, 9_000 - int(sys.argv[2]), ready=sys.argv[2] != "7", crowded=True)
stats.publish(3, 4, 9_000 - int(sys.argv[2]), ready=sys.argv[2] != "7", crowded=True)
sys.stdout.write(stats.render().decode())
"""


def test_metrics_show_all_workers_together(tmp_path: Path) -> None:
    for recorded in ("5", "7"):
        shown = subprocess.run(
            [sys.executable, "-c", WORKER, str(tmp_path), recorded], check=True, capture_output=True, text=True
        ).stdout.splitlines()

    assert "adtally_edge_recorded_total 12.0" in shown
    assert 'adtally_edge_events_total{verdict="bot"} 2.0' in shown
    assert "adtally_edge_connections 6.0" in shown
    assert "adtally_edge_ready 0.0" in shown
    assert "adtally_edge_crowded_workers 2.0" in shown
    assert "adtally_edge_spool_bytes 200.0" in shown
    assert "adtally_edge_spool_oldest_seconds 3.995" in shown
    assert "adtally_edge_spool_full 1.0" in shown
    assert "adtally_edge_spool_drained_total 12.0" in shown


def test_an_empty_spool_has_no_age() -> None:
    state = SpoolState(oldest_ts_ms=1_000)
    stats = EdgeStats(lambda: state)
    stats.publish(0, 0, 61_000, ready=True)
    assert b"adtally_edge_spool_oldest_seconds 60.0" in stats.render()
    state = SpoolState()
    stats.publish(0, 0, 62_000, ready=True)
    assert b"adtally_edge_spool_oldest_seconds 0.0" in stats.render()


def test_publishing_again_adds_nothing() -> None:
    stats = EdgeStats()
    stats.count["recorded"] = 3
    stats.publish(0, 0, 1_000, ready=True)
    stats.publish(0, 0, 1_000, ready=True)
    stats.count["recorded"] = 4
    stats.publish(0, 0, 1_000, ready=True)
    assert b"adtally_edge_recorded_total 4.0" in stats.render()
