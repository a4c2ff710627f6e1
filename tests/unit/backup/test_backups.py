"""Backups of a folder on which nothing runs, and what goes on meanwhile is done by the test itself."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adtally import __version__, faultpoint, wiring
from adtally.backup.manifest import MANIFEST, backups_in, newest_backup, read_manifest, verify
from adtally.backup.restoring import restore
from adtally.config import Config, LakeConfig
from adtally.errors import BackupError, DataFolderError
from adtally.eventlog.port import Partition
from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.segment import Place
from adtally.folder import DataFolder
from adtally.lake.compaction import compact_hour
from adtally.lake.directory import DirectoryLake
from adtally.wiring.backups import Taken
from upgrade.questions import unpack

LATER_MS = 1 << 50


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a data folder with something of everything; of the store only that it is there."""
    place = tmp_path_factory.mktemp("kept")
    unpack("0.1.0", place)
    shutil.rmtree(place / "data" / "olap")
    (place / "data" / "olap").mkdir()
    (place / "data" / "olap" / "part").write_text("numbers")
    return place / "data"


@pytest.fixture
def folder(unpacked: Path, tmp_path: Path) -> DataFolder:
    shutil.copytree(unpacked, tmp_path / "data")
    return DataFolder(tmp_path / "data")


@pytest.fixture
def at_each_file() -> Iterator[Callable[[Callable[[int], None]], None]]:
    """Give what has a function called with the number of files that were taken, after each."""

    def have(then: Callable[[int], None]) -> None:
        count = 0

        def reached(name: str) -> None:
            nonlocal count
            if name == "backup.file":
                count += 1
                then(count)

        faultpoint.on_reach = reached

    yield have
    faultpoint.on_reach = faultpoint._nothing


def quiet(done: int, total: int) -> None:
    assert done <= total


def take(folder: DataFolder, place: Path, *, store: bool | None = None, keep: int | None = None) -> Taken:
    return wiring.take_backup(folder, Config(), place, quiet, store=store, keep=keep)


def in_lake(root: Path) -> set[tuple[str, int]]:
    lake = DirectoryLake(root / "lake")
    found: set[tuple[str, int]] = set()
    for files in lake.listing().values():
        for file in files:
            events = lake.read(file, ["edge_id", "seq"])
            found |= set(zip(events["edge_id"].to_pylist(), events["seq"].to_pylist(), strict=True))
    return found


def log_records(root: Path, reader_name: str = "test") -> list[tuple[str, str, bytes]]:
    """Give all that a reader has still to read, as places and payloads."""
    reader = SqliteLogReader(root / "log", reader_name)
    positions, found = reader.committed(), []
    for partition in reader.partitions():
        start = positions.get(partition, "")
        while records := reader.read(partition, start, 1 << 24):  # type: ignore[arg-type]
            start = records[-1].next
            found += [(str(each.partition), str(each.at), each.payload) for each in records]
    reader.close()
    return found


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(path) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}
    connection.close()
    return found


def test_what_is_restored_holds_what_was_backed_up(folder: DataFolder, tmp_path: Path) -> None:
    taken = take(folder, tmp_path / "backups")
    assert verify(taken.backup, quiet) == taken.manifest
    restored = DataFolder(tmp_path / "restored")
    restore(taken.backup, restored.root, quiet)
    restored.check_version()
    for name in ("registry.db", "ledger.db", "deadletters.db"):
        assert rows(restored.root / name) == rows(folder.root / name), name
    assert in_lake(restored.root) == in_lake(folder.root)
    assert log_records(restored.root) == log_records(folder.root)
    assert log_records(restored.root, "archiver") == log_records(folder.root, "archiver") != []
    assert restored.admin_key.read_text() == folder.admin_key.read_text()
    assert restored.admin_key.stat().st_mode & 0o777 == 0o600
    assert taken.backup.stat().st_mode & 0o077 == 0, "others could read the admin's key"


def test_the_stream_begins_anew_where_the_store_is_not_in_the_backup(folder: DataFolder, tmp_path: Path) -> None:
    reader = SqliteLogReader(folder.log, "stream")
    reader.commit({reader.partitions()[0]: Place(1, 1, 0).position()})
    for store, readers in ((None, {"archiver"}), (True, {"archiver", "stream"})):
        taken = take(folder, tmp_path / f"backups-{store}", store=store)
        with sqlite3.connect(taken.backup / "log" / "readers.db") as connection:
            assert {row[0] for row in connection.execute("SELECT DISTINCT reader FROM position")} == readers
        connection.close()
        assert (taken.backup / "olap").exists() is bool(store)


def test_a_second_backup_copies_only_what_is_new(folder: DataFolder, tmp_path: Path) -> None:
    checkpoint_finished(folder.log)
    first = take(folder, tmp_path / "backups")
    second = take(folder, tmp_path / "backups")
    assert backups_in(tmp_path / "backups") == [first.backup, second.backup]
    lake_bytes = sum(file.bytes for file in second.manifest.files if file.name.startswith("lake/"))
    assert second.copied_bytes <= first.copied_bytes - lake_bytes
    for file in second.manifest.files:
        if file.name.startswith("lake/"):
            assert (second.backup / file.name).samefile(first.backup / file.name)
    verify(second.backup, quiet)
    assert take(folder, tmp_path / "backups", keep=1).removed == (first.backup, second.backup)
    verify(newest_backup(tmp_path / "backups"), quiet)


def test_files_that_are_merged_while_they_are_copied_are_all_in_the_backup(
    folder: DataFolder, tmp_path: Path, seed: int, at_each_file: Callable[[Callable[[int], None]], None]
) -> None:
    lake = DirectoryLake(folder.lake)
    several = lake.hours()[::2]
    for hour_ms in several:
        lake.write(hour_ms, "again", lake.read(lake.files(hour_ms)[0]))
    events = in_lake(folder.root)
    files = len(take(folder, tmp_path / "other").manifest.files)
    at = random.Random(seed).randrange(1, files)

    def merge(count: int) -> None:
        if count == at:
            for hour_ms in several:
                compact_hour(lake, hour_ms)

    at_each_file(merge)
    taken = take(folder, tmp_path / "backups")
    assert in_lake(taken.backup) == events
    verify(taken.backup, quiet)


def test_segments_that_retention_removes_meanwhile_are_not_missed_by_the_archiver(
    folder: DataFolder, tmp_path: Path, at_each_file: Callable[[Callable[[int], None]], None]
) -> None:
    def pass_all(count: int) -> None:
        # After the registry and the readers' positions: what they say was true, and is so no more.
        if count == 2:
            archiver = SqliteLogReader(folder.log, "archiver")
            ends = {}
            for partition in archiver.partitions():
                start = archiver.committed().get(partition, "")
                while records := archiver.read(partition, start, 1 << 24):  # type: ignore[arg-type]
                    start = records[-1].next
                ends[partition] = start
            archiver.commit(ends)  # type: ignore[arg-type]
            archiver.close()
            assert remove_expired(folder.log, lambda _: ("archiver",), LATER_MS)

    at_each_file(pass_all)
    taken = take(folder, tmp_path / "backups")
    # Raises if it stands before the first segment.
    assert log_records(taken.backup, "archiver") == log_records(folder.root, "archiver")
    reader = SqliteLogReader(taken.backup / "log", "archiver")
    assert set(reader.committed()) <= {Partition(each) for each in reader.partitions()}
    reader.close()


def test_numbers_that_only_the_store_has_are_not_left_behind_unasked(folder: DataFolder, tmp_path: Path) -> None:
    with sqlite3.connect(folder.ledger) as ledger:
        ledger.execute("UPDATE line SET state = 'frozen' WHERE hour_ms = (SELECT min(hour_ms) FROM line)")
    ledger.close()
    with pytest.raises(BackupError, match=r"1 hours were removed by lake\.retention_days.*--with-store"):
        take(folder, tmp_path / "backups")
    assert not backups_in(tmp_path / "backups")
    take(folder, tmp_path / "backups", store=False)
    take(folder, tmp_path / "backups", store=True)


@pytest.mark.parametrize("damage", ["flipped", "cut", "removed", "added", "manifest cut", "manifest of later", "link"])
def test_a_damaged_backup_is_named_and_not_restored(folder: DataFolder, tmp_path: Path, seed: int, damage: str) -> None:
    backup, rnd = take(folder, tmp_path / "backups").backup, random.Random(seed)
    victim = backup / rnd.choice(read_manifest(backup).files).name
    content = victim.read_bytes()
    at = rnd.randrange(len(content))
    if damage == "flipped":
        victim.write_bytes(content[:at] + bytes([content[at] ^ (1 << rnd.randrange(8))]) + content[at + 1 :])
    elif damage == "cut":
        victim.write_bytes(content[:at])
    elif damage == "removed":
        victim.unlink()
    elif damage == "added":
        victim = backup / "lake" / "stranger"
        victim.write_bytes(b"")
    elif damage == "manifest cut":
        victim = backup / MANIFEST
        victim.write_bytes(victim.read_bytes()[: at % 1_000])
    elif damage == "manifest of later":
        victim = backup / MANIFEST
        victim.write_bytes(json.dumps({"format": 99, "version": "9.9", "new": 1}).encode())
    else:
        victim.unlink()
        victim.symlink_to(tmp_path / "nowhere")
    told = "9.9" if damage == "manifest of later" else str(victim)
    with pytest.raises(BackupError) as refused:
        verify(backup, quiet)
    assert told in str(refused.value)
    with pytest.raises(BackupError):
        restore(backup, tmp_path / "restored", quiet)
    assert not (tmp_path / "restored").exists()


def test_nothing_is_restored_over_anything(folder: DataFolder, tmp_path: Path) -> None:
    backup = take(folder, tmp_path / "backups").backup
    before = folder.registry.read_bytes()
    with pytest.raises(BackupError, match="is not empty"):
        restore(backup, folder.root, quiet)
    assert folder.registry.read_bytes() == before
    (tmp_path / "empty").mkdir()
    restore(backup, tmp_path / "empty", quiet)
    with pytest.raises(BackupError, match="holds no backup"):
        newest_backup(tmp_path / "nothing")
    with pytest.raises(BackupError, match="is in the data folder"):
        take(folder, folder.root / "backups")


def test_a_backup_of_a_later_layout_is_refused_before_anything_is_written(folder: DataFolder, tmp_path: Path) -> None:
    folder.version.write_text("999\n")
    backup = take(folder, tmp_path / "backups").backup
    with pytest.raises(BackupError, match=f"data of version 999.*use the adtally {__version__} that wrote it"):
        restore(backup, tmp_path / "restored", quiet)
    assert not (tmp_path / "restored").exists()


def test_a_segment_that_is_damaged_is_copied_as_it_is(folder: DataFolder, tmp_path: Path) -> None:
    checkpoint_finished(folder.log)
    victim = min((folder.log / "import-0").glob("*.segment"))
    content = bytearray(victim.read_bytes())
    content[40:4_000] = bytes(3_960)
    victim.write_bytes(content)
    taken = take(folder, tmp_path / "backups")
    assert (taken.backup / "log" / "import-0" / victim.name).read_bytes() == bytes(content)


def test_what_is_on_servers_is_said_to_be_missing(folder: DataFolder, tmp_path: Path) -> None:
    config = Config(lake=LakeConfig(url="s3://bucket/lake"))
    taken = wiring.take_backup(folder, config, tmp_path / "backups", quiet, store=None, keep=None)
    assert taken.manifest.elsewhere == ("lake",)
    assert not (taken.backup / "lake").exists()


def test_a_database_that_is_none_is_named(folder: DataFolder, tmp_path: Path) -> None:
    folder.registry.write_bytes(b"nothing" * 1_000)
    with pytest.raises(DataFolderError, match=r"registry\.db"):
        take(folder, tmp_path / "backups")
    assert not backups_in(tmp_path / "backups")


def test_a_folder_that_nothing_ever_ran_on_is_backed_up(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    wiring.open_registry(folder, Config()).close()
    taken = take(folder, tmp_path / "backups")
    assert {file.name for file in verify(taken.backup, quiet).files} == {"registry.db", "version"}
