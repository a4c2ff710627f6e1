"""Importing a file, again, after a kill, and with ads that come later: each row comes in once, under its number."""

import random
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from adtally.config import Config, LogConfig
from adtally.errors import AdtallyError, LogError
from adtally.event import Closing, Lost
from adtally.eventlog.port import IMPORTS
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.folder import DataFolder
from adtally.history.files import Format, identify
from adtally.history.importing import ImportedBatch
from adtally.registry.port import Ad
from adtally.wiring import open_history_import, open_registry
from support.import_log import read_log

CONFIG = Config(log=LogConfig(segment_bytes=20_000))
KILLED = """
import os, signal, sys
from adtally import faultpoint
from adtally.history import importing
left = int(sys.argv.pop(1))
importing.BATCH_ROWS = 40
def reach(name):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
faultpoint.on_reach = reach
from adtally.cli.main import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    add_ads(folder, "a")
    return folder


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adtally.history.importing.BATCH_ROWS", 40)


def add_ads(folder: DataFolder, *ad_ids: str) -> None:
    registry = open_registry(folder, Config())
    registry.upsert_ads([Ad(ad_id, "adv", "https://shop.example/") for ad_id in ad_ids])
    registry.close()


def history(tmp_path: Path, rows: int, bad: set[int]) -> Path:
    """Write a file of clicks; the rows of `bad`, counted from 1, are of an ad that nobody registered."""
    file = tmp_path / "history.csv"
    lines = [f"{1_700_000_000_000 + n},{'later' if n in bad else 'a'},u{n}" for n in range(1, rows + 1)]
    file.write_text("ts,ad_id,user_id\n" + "\n".join(lines) + "\n")
    return file


def run(
    folder: DataFolder, file: Path, file_format: Format = "csv", *, strict: bool = False
) -> Generator[ImportedBatch, None, None]:
    with open_history_import(folder, CONFIG, identify(file)) as importing:
        yield from importing.batches(file, file_format, strict=strict)


def test_every_row_has_its_number_as_an_event_or_as_lost(folder: DataFolder, tmp_path: Path) -> None:
    bad = {1, 2, 3, 77, 100, 200}
    file = history(tmp_path, 200, bad)
    batches = list(run(folder, file))
    edge_id = identify(file).edge_id
    logged = read_log(folder.log)
    assert sum(batch.imported for batch in batches) == 194
    assert [error.line - 1 for batch in batches for error in batch.errors] == sorted(bad)
    assert logged.numbers(edge_id) == sorted(set(range(1, 201)) - bad)
    assert {event.seq: event.user_id for event in logged.events}[50] == "u50"
    assert logged.lost(edge_id) == bad
    assert [r.first_seq for r in logged.controls if isinstance(r, Lost)] == [1, 77, 100, 200]
    assert [(c.last_seq, c.retired) for c in logged.closings(edge_id)] == [(200, True)]


def test_importing_again_adds_nothing(folder: DataFolder, tmp_path: Path) -> None:
    file = history(tmp_path, 200, {5, 90})
    list(run(folder, file))
    before = read_log(folder.log)
    renamed = file.rename(tmp_path / "renamed.csv")
    batches = list(run(folder, renamed))
    after = read_log(folder.log)
    assert (sum(b.imported for b in batches), sum(b.held for b in batches)) == (0, 198)
    assert [error.line for batch in batches for error in batch.errors] == [6, 91]
    assert after.events == before.events
    assert [r for r in after.controls if isinstance(r, Lost)] == [r for r in before.controls if isinstance(r, Lost)]


def test_a_click_keeps_its_verdict_when_its_ad_changes_before_a_second_import(
    folder: DataFolder, tmp_path: Path
) -> None:
    file = history(tmp_path, 10, set())
    list(run(folder, file))
    registry = open_registry(folder, Config())
    registry.upsert_ads([Ad("a", "adv", "https://shop.example/", status="paused")])
    registry.close()
    list(run(folder, file))
    assert [event.verdict for event in read_log(folder.log).events] == ["ok"] * 10


def test_clicks_of_an_ad_that_is_registered_later_come_in_then(folder: DataFolder, tmp_path: Path) -> None:
    file = history(tmp_path, 100, {5, 90})
    list(run(folder, file))
    add_ads(folder, "later")
    batches = list(run(folder, file))
    assert sum(batch.imported for batch in batches) == 2
    assert not any(batch.errors for batch in batches)
    logged = read_log(folder.log)
    assert sorted(logged.numbers(identify(file).edge_id)) == list(range(1, 101))


def test_strict_imports_nothing_of_the_batch_with_the_bad_row_and_what_follows(
    folder: DataFolder, tmp_path: Path
) -> None:
    file = history(tmp_path, 200, {50, 60, 190})
    batches = list(run(folder, file, strict=True))
    logged = read_log(folder.log)
    edge_id = identify(file).edge_id
    assert [error.line for batch in batches for error in batch.errors] == [51]
    assert logged.numbers(edge_id) == list(range(1, 41))
    assert logged.lost(edge_id) == set()
    assert [c.last_seq for c in logged.closings(edge_id)] == [40]


def test_an_import_that_is_killed_anywhere_is_completed_by_the_next(
    folder: DataFolder, tmp_path: Path, seed: int
) -> None:
    rnd = random.Random(seed)
    rows = 400
    bad = {n for n in range(1, rows + 1) if rnd.random() < 0.1}
    file = history(tmp_path, rows, bad)
    edge_id = identify(file).edge_id
    arguments = ["import", str(file), "--data-dir", str(folder.root)]
    for _ in range(3):
        # Ten batches, each with two places.
        command = [sys.executable, "-c", KILLED, str(rnd.randrange(1, 12)), *arguments]
        killed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert killed.returncode in (-signal.SIGKILL, 1), killed.stderr
        logged = read_log(folder.log)
        assert set(logged.numbers(edge_id)) <= set(range(1, rows + 1)) - bad
    list(run(folder, file))
    logged = read_log(folder.log)
    assert logged.numbers(edge_id) == sorted(set(range(1, rows + 1)) - bad)
    assert logged.lost(edge_id) == bad
    assert max(c.last_seq for c in logged.closings(edge_id)) == rows


def test_without_its_memory_an_import_repeats_events_under_the_same_numbers_and_the_same_bytes(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after retention removed the segments: then recounts, which take each number once, are what keeps it right."""
    from adtally.history.held import Held, NumberSet

    file = history(tmp_path, 100, {7})
    list(run(folder, file))
    monkeypatch.setattr("adtally.history.held.read_held", lambda *_: Held(NumberSet(), NumberSet()))
    list(run(folder, file))
    logged = read_log(folder.log)
    assert len(logged.events) == 198
    assert len(set(logged.events)) == 99


def test_the_next_import_closes_one_that_was_broken_off(folder: DataFolder, tmp_path: Path) -> None:
    file = history(tmp_path, 200, {80})
    broken = run(folder, file)
    next(broken)
    next(broken)
    with pytest.raises(RuntimeError):
        broken.throw(RuntimeError("the disk went away"))
    edge_id = identify(file).edge_id
    assert read_log(folder.log).closings(edge_id) == []
    other = tmp_path / "other.csv"
    other.write_text("ts,ad_id\n1700000000000,a\n")
    list(run(folder, other))
    logged = read_log(folder.log)
    assert [(c.last_seq, c.retired) for c in logged.closings(edge_id)] == [(80, False)]
    assert len(logged.closings(identify(other).edge_id)) == 1


def test_a_second_import_beside_the_first_is_refused(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adtally.eventlog.sqlite.writer.LOCK_WAIT_S_MAX", 0.1)
    folder.log.mkdir()
    writer = SqliteLogWriter.open(folder.log, IMPORTS, "import-x", 1, 1 << 20)
    with pytest.raises(LogError, match="import-0 is still written by another process"):
        list(run(folder, history(tmp_path, 10, set())))
    writer.close(Closing("import-x", 0, 1, retired=True), 1)


def test_a_file_that_changes_meanwhile_is_reported(folder: DataFolder, tmp_path: Path) -> None:
    file = history(tmp_path, 100, set())
    batches = run(folder, file)
    next(batches)
    with file.open("a") as more:
        more.write("1700000000000,a,late\n")
    with pytest.raises(AdtallyError, match="changed while it was imported"):
        list(batches)


def test_lines_of_a_log_that_are_no_clicks_are_not_numbered(folder: DataFolder, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    line = '192.0.2.7 - - [10/Oct/2025:13:55:36 +0000] "GET {} HTTP/1.1" 302 0 "-" "Mozilla/5.0"\n'
    paths = ["/", "/click?ad_id=a&user_id=1", "/x", "/click?ad_id=no&user_id=2", "/click?ad_id=a&user_id=3", "/y"]
    file.write_text("".join(line.format(path) for path in paths))
    (batch,) = run(folder, file, "weblog")
    edge_id = identify(file).edge_id
    logged = read_log(folder.log)
    assert [(event.seq, event.user_id) for event in logged.events] == [(1, "1"), (3, "3")]
    assert logged.lost(edge_id) == {2}
    assert ([error.line for error in batch.errors], sum(batch.skipped.values())) == ([4], 3)
