"""A backup is made while clicks come in, and restored elsewhere; backups and restores are killed."""

import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from adtally.backup.manifest import backups_in, newest_backup, read_manifest
from adtally.backup.restoring import restore
from adtally.errors import BackupError, DataFolderError
from adtally.event import decode_event_lines
from adtally.eventlog.port import BEGINNING
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.folder import DataFolder
from adtally.lake.directory import DirectoryLake
from support.embedded import ADTALLY, ANSWER_S, Embedded, wait_for
from upgrade.questions import Kept, answers, differences, unpack

TESTS = Path(__file__).parents[1]
AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
CLICKS_BEFORE = 1_500
CLICKED_S_MAX = 300.0
"""Each of these clicks waits for a sync of its own."""

pytestmark = pytest.mark.system


class Clicker:
    """Clicks on ad_1 without a pause, each another impression, and knows which were acknowledged."""

    def __init__(self, system: Embedded) -> None:
        self._system = system
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clicker")
        self.acknowledged: list[tuple[str, int]] = []
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._system.click_url, trust_env=False, timeout=ANSWER_S) as client:
            while not self._ended.is_set():
                self.sent += 1
                params = {"ad_id": "ad_1", "user_id": f"c{self.sent % 50}", "impression_id": f"clicker-{self.sent}"}
                answer = client.get("/click", params=params, headers={"User-Agent": AGENT})
                if answer.status_code == 302 and "X-Click-Recorded" not in answer.headers:
                    edge_id, seq, _ = answer.headers["X-Click-Event"].split(".")
                    self.acknowledged.append((edge_id, int(seq)))


def held(root: Path) -> Counter[tuple[str, int]]:
    """Give the clicker's events of a folder's lake and log, and how often the log has each."""
    found: Counter[tuple[str, int]] = Counter()
    reader = SqliteLogReader(root / "log", "test")
    for partition in reader.partitions():
        start = BEGINNING
        while records := reader.read(partition, start, 1 << 24):
            start = records[-1].next
            for record in records:
                if record.kind == "events" and partition.startswith("edge-"):
                    events = decode_event_lines(record.payload)
                    found.update((e.edge_id, e.seq) for e in events if (e.impression_id or "").startswith("clicker-"))
    reader.close()
    lake = DirectoryLake(root / "lake")
    for files in lake.listing().values():
        for file in files:
            columns = lake.read(file, ["edge_id", "seq", "impression_id"])
            rows = zip(*(columns[name].to_pylist() for name in ("edge_id", "seq", "impression_id")), strict=True)
            for edge_id, seq, impression_id in rows:
                if (impression_id or "").startswith("clicker-") and not found[edge_id, seq]:
                    found[edge_id, seq] = 1
    return found


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Kept, Embedded]]:
    """Give a system with days of final hours, corrections, keys and dead letters, and its answers."""
    monkeypatch.setenv("ADTALLY_LAKE__FLUSH_MS", "700")
    kept, system = unpack("0.1.0", tmp_path)
    system.start()
    yield kept, system
    if system.process is not None and system.process.poll() is None:
        system.stop()


def test_a_backup_under_clicks_restores_every_click_that_was_acknowledged_before_it_once(
    system: tuple[Kept, Embedded], tmp_path: Path
) -> None:
    kept, original = system
    original.command("reconcile")
    begun = datetime.now(UTC).replace(second=0, microsecond=0)
    backups = tmp_path / "backups"
    with Clicker(original) as clicker:
        wait_for(lambda: len(clicker.acknowledged) > CLICKS_BEFORE // 2, CLICKED_S_MAX, "clicks are acknowledged")
        backup_of(original, backups)
        wait_for(lambda: len(clicker.acknowledged) > CLICKS_BEFORE, CLICKED_S_MAX, "more clicks are acknowledged")
        before = set(clicker.acknowledged)
        taken = backup_of(original, backups)
        sent = clicker.sent
    assert original.stop() == 0
    assert taken["copied"] < taken["bytes"]

    restored = Embedded(tmp_path / "restored" / "data")
    command = [*ADTALLY, "restore", str(backups), "--data-dir", str(restored.folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    found = held(restored.folder)
    assert not before - found.keys(), "acknowledged before the backup, and not in it"
    assert max(found.values()) == 1
    restored.command("rebuild", "--yes")
    restored.start()
    try:
        restored.command("reconcile")
        edges = {"start": begun.isoformat(), "end": (begun + timedelta(hours=2)).isoformat(), "ad_id": "ad_1"}
        wait_for(lambda: quality(restored, edges)["received"] >= len(found), 180, "all of it is counted")
        report = quality(restored, edges)
        assert (report["received"], report["counted"], report["duplicate"]) == (len(found), len(found), 0)
        assert len(before) <= len(found) <= sent
        now = answers(restored, kept)
        wrong = [line for name in kept.settled for line in differences(kept.settled[name], now.get(name), name)]
        assert not wrong, wrong[:10]
        print(f"{len(before)} acknowledged before, {len(found)} restored and counted, {clicker.sent} sent in all")
    finally:
        assert restored.stop() == 0


def quality(system: Embedded, params: dict[str, str]) -> Any:
    return system.api("/v1/quality", **params)


def backup_of(system: Embedded, backups: Path) -> Any:
    return json.loads(system.command("backup", str(backups), "--json"))


def child(point: str, after: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "support.command_child", point, str(after), *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_backup_or_a_restore_that_is_killed_leaves_nothing_that_passes_for_a_whole_one(
    tmp_path: Path, seed: int
) -> None:
    rnd = random.Random(seed)
    _, system = unpack("0.1.0", tmp_path)
    backups, target = tmp_path / "backups", tmp_path / "restored"
    backup = ("backup", str(backups), "--data-dir", str(system.folder))
    points = [("backup.file", rnd.randrange(1, 40)), ("backup.copied", 1), ("backup.listed", 1)]
    for point, after in points:
        assert child(point, after, *backup).returncode == -9, (point, after)
        with pytest.raises(BackupError, match="holds no backup"):
            newest_backup(backups)
    refused = child("", 1, "restore", str(backups), "--data-dir", str(target))
    assert (refused.returncode, target.exists()) == (1, False)
    assert child("", 1, *backup).returncode == 0
    assert len(backups_in(backups)) == 1
    assert child("", 1, "backup", str(backups), "--verify").returncode == 0

    after = rnd.randrange(1, len(read_manifest(newest_backup(backups)).files))
    restoring = ("restore", str(backups), "--data-dir", str(target))
    assert child("restore.file", after, *restoring).returncode == -9
    with pytest.raises(BackupError, match="is not empty"):
        restore(newest_backup(backups), target, lambda done, total: None)
    with pytest.raises(DataFolderError, match="no adtally data"):
        DataFolder(target).prepare()
    restore(newest_backup(backups), tmp_path / "elsewhere", lambda done, total: None)
    DataFolder(tmp_path / "elsewhere").check_version()
