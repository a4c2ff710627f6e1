"""A recount that is asked for over HTTP."""

import random
from pathlib import Path

from adtally.eventlog.port import Partition, Position
from adtally.lake.directory import DirectoryLake
from adtally.ledger.port import ArchiveNote
from adtally.reconcile.loop import ARCHIVE_WAIT_MS_MAX
from support.plain_recount import lake_table
from support.reconciling import history
from support.serving import NOW_MS, Served, ms

HOUR_MS = 3_600_000
TEN = ms("2026-11-23T10:00:00Z")


def test_a_request_waits_for_the_archiver_and_then_tells_what_was_found(tmp_path: Path, seed: int) -> None:
    with Served(tmp_path) as served:
        events = history(random.Random(seed), 50, TEN, TEN + HOUR_MS)
        DirectoryLake(tmp_path / "lake").write(TEN, "a", lake_table((event, event.ts_ms) for event in events))
        asked = served.admin.post("/v1/reconcile", json={})
        assert (asked.status_code, asked.json()["state"]) == (202, "waits for the archiver")
        assert served.ledger.archive_wanted_ms() == NOW_MS
        served.ledger.note_archived([ArchiveNote(Partition("edge-0"), Position("1"), NOW_MS - 1)], [], [])
        served.reconciling.step(NOW_MS)
        path = f"/v1/reconcile/{asked.json()['number']}"
        assert served.admin.get(path).json()["state"] == "waits for the archiver"
        served.ledger.note_archived([ArchiveNote(Partition("edge-0"), Position("1"), NOW_MS)], [], [])
        served.clock.at_ms = NOW_MS + 1
        served.reconciling.step(NOW_MS + 1)
        done = served.admin.get(path).json()
        assert (done["state"], done["error"], done["failures"]) == ("done", None, [])
        assert served.ledger.lines(0, 1 << 53)[0].manifest.events == 50


def test_a_request_does_not_wait_for_ever(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        number = served.admin.post("/v1/reconcile", json={"dry_run": True}).json()["number"]
        served.reconciling.step(NOW_MS + ARCHIVE_WAIT_MS_MAX)
        assert served.admin.get(f"/v1/reconcile/{number}").json()["state"] == "done"


def test_an_unknown_request_is_not_found(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        assert served.admin.get("/v1/reconcile/9").status_code == 404
