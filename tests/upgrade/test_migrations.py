"""Stores of earlier versions are migrated, whatever step is killed, and a newer version's are refused."""

import ast
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from adtally.errors import AdtallyError, DataFolderError, LogError
from adtally.eventlog.sql.deadletters import SqlDeadLetters
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.folder import FOLDER_VERSION, DataFolder
from adtally.ledger.schema import MIGRATIONS as LEDGER
from adtally.ledger.sql import SqlLedger
from adtally.migrations import COPIES_KEPT
from adtally.registry.schema import MIGRATIONS as REGISTRY
from adtally.registry.sql import SqlRegistry
from support.older_stores import age, age_letters, content
from upgrade.questions import unpack

TESTS = Path(__file__).parents[1]
STATEMENTS = {"registry": 8, "ledger": 3}
"""How many statements bring one from its first migration to the newest, about."""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    unpack("0.1.0", tmp_path)
    return DataFolder(tmp_path / "data")


def child(module: str, *arguments: str) -> str:
    """Run a process; give what it printed, "killed" if it killed itself."""
    done = subprocess.run(
        [sys.executable, "-m", f"support.{module}", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -9), done.stderr[-3_000:]
    return "killed" if done.returncode else done.stdout


def open_in_child(folder: DataFolder, store: str, point: str = "", after: int = 1) -> str:
    return child("opening_child", str(folder.root), store, point, str(after))


def open_here(folder: DataFolder, store: str) -> None:
    if store == "registry":
        SqlRegistry.open(folder.registry).close()
    elif store == "ledger":
        SqlLedger.open(folder.ledger).close()
    else:
        SqliteDeadLetters(folder.dead_letters).close()


def make_old(folder: DataFolder, store: str) -> Path:
    if store == "registry":
        age(folder.registry, REGISTRY, 1)
        return folder.registry
    if store == "ledger":
        age(folder.ledger, LEDGER, 1)
        return folder.ledger
    open_here(folder, store)
    age_letters(folder.dead_letters)
    return folder.dead_letters


def copies(folder: DataFolder, name: str) -> list[Path]:
    return sorted(folder.backups.glob(f"before-{name}-*/*.db"))


@pytest.mark.parametrize("store", ["registry", "ledger", "dead_letters"])
def test_a_migration_is_done_after_kills_at_any_step_and_what_was_before_is_kept(
    folder: DataFolder, store: str, seed: int
) -> None:
    file = make_old(folder, store)
    before = content(file)
    points = [("migration.copied", 1)]
    if store == "dead_letters":
        points.append(("deadletters.migrated", 1))
    else:
        points.append(("migration.statement", random.Random(seed).randint(1, STATEMENTS[store])))
        points.append(("migration.noted", random.Random(seed).randint(1, 2)))
    for point, after in points:
        assert open_in_child(folder, store, point, after) == "killed", (point, after)
        assert content(file) == before, "a migration that was killed has left something"
    open_here(folder, store)
    after_all = content(file)
    for name, rows in before.items():
        assert set(rows[0]) <= set(after_all[name][0]), name
        assert len(after_all[name]) >= len(rows), name
    kept = copies(folder, store.replace("_", ""))
    assert kept
    assert all(content(each) == before for each in kept)
    open_here(folder, store)
    assert copies(folder, store.replace("_", "")) == kept, "nothing was to be migrated, so nothing is copied"


def test_only_the_newest_copies_from_before_are_kept(folder: DataFolder) -> None:
    for _ in range(COPIES_KEPT + 2):
        make_old(folder, "registry")
        SqlRegistry.open(folder.registry).close()
    assert len(copies(folder, "registry")) == COPIES_KEPT


def test_the_stores_schema_is_whole_after_kills_at_any_statement(tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    folder = DataFolder(tmp_path / "data")
    folder.root.mkdir()
    number = rnd.randint(1, 4)
    child("older_stores", "make", str(folder.olap), str(number), "30")
    for _ in range(3):
        open_in_child(folder, "olap", "olap.migration_statement", rnd.randint(1, 12))
    assert open_in_child(folder, "olap") != "killed"
    fresh = DataFolder(tmp_path / "fresh")
    fresh.root.mkdir()
    open_in_child(fresh, "olap")
    shapes = [child("older_stores", "shape", str(each.olap)) for each in (folder, fresh)]
    assert shapes[0] == shapes[1] != ""
    rows = ast.literal_eval(child("older_stores", "rows", str(folder.olap)))
    # 1 to 30 clicks, of a user each and one of all, an hour or a day apart.
    for found, since, step_s in zip(rows, (2, 3), (3_600, 86_400), strict=True):
        moved = [30, 30, 465, 60, 30 * 1_700_000_000 + 435 * step_s]
        assert found == (moved if number >= since else [0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("open_store", "sql", "error"),
    [
        (SqlRegistry.open, "INSERT INTO schema_version VALUES (999)", DataFolderError),
        (SqlLedger.open, "INSERT INTO schema_version VALUES (999)", DataFolderError),
        (SqlDeadLetters.open, "INSERT INTO schema_version VALUES (999)", LogError),
        (SqliteDeadLetters, "PRAGMA user_version = 999", LogError),
    ],
)
def test_what_a_newer_version_wrote_is_refused_and_left_as_it_is(
    tmp_path: Path, open_store: Callable[[Path], SqlRegistry], sql: str, error: type[AdtallyError]
) -> None:
    file = tmp_path / "store.db"
    open_store(file).close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(sql)
    before = content(file)
    with pytest.raises(error, match=r"has version 999, .* use the adtally that wrote it, or a newer one"):
        open_store(file)
    assert content(file) == before


def test_a_folder_of_a_newer_layout_is_refused(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    folder.version.write_text(f"{FOLDER_VERSION + 1}\n")
    with pytest.raises(DataFolderError, match=f"version {FOLDER_VERSION + 1}, this adtally works on"):
        folder.prepare()
