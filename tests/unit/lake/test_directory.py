"""The lake's folder: damage, leftovers of crashes, and what engines read."""

import fcntl
import os
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from adtally.errors import LakeDamagedError, LakeError, LakeFileGoneError
from adtally.lake.directory import DirectoryLake
from adtally.lake.parquet import read_events
from adtally.lake.port import LakeFile
from support.lake_events import NOON_MS, click, ids, rows


@pytest.fixture
def lake(tmp_path: Path) -> DirectoryLake:
    return DirectoryLake(tmp_path / "lake")


def some_file(lake: DirectoryLake, events: int = 200) -> tuple[LakeFile, Path]:
    file = lake.write(NOON_MS, "a", rows(click(n, NOON_MS + n, ad_id=f"ad_{n % 7}") for n in range(1, events)))
    return file, Path(lake.location(file))


def test_a_flipped_bit_anywhere_is_noticed_or_changes_nothing(lake: DirectoryLake, seed: int) -> None:
    file, path = some_file(lake)
    whole, events = path.read_bytes(), lake.read(file)
    rnd = random.Random(seed)
    noticed = 0
    for place in rnd.sample(range(len(whole)), 1_000):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rnd.randrange(8)
        try:
            assert read_events(bytes(damaged), "a").equals(events)
        except LakeDamagedError:
            noticed += 1
    assert noticed > 300


def test_a_flipped_byte_in_a_column_is_damage_that_names_the_file(lake: DirectoryLake) -> None:
    file, path = some_file(lake)
    whole = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(2).data_page_offset
    whole[start + 60] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(LakeDamagedError, match=r"a\.parquet is damaged"):
        lake.read(file)


@pytest.mark.parametrize("left", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_damage(lake: DirectoryLake, left: float) -> None:
    file, path = some_file(lake)
    os.truncate(path, int(file.size_bytes * left))
    with pytest.raises(LakeDamagedError):
        lake.read(file)


def test_a_removed_file_is_gone(lake: DirectoryLake) -> None:
    file, path = some_file(lake)
    path.unlink()
    with pytest.raises(LakeFileGoneError, match="list the hour again"):
        lake.read(file)


def test_a_file_without_the_columns_is_damage(lake: DirectoryLake) -> None:
    file, path = some_file(lake)
    pq.write_table(rows([click(1)]).drop_columns(["seq"]), path)
    with pytest.raises(LakeDamagedError, match="'seq'"):
        lake.read(file)


def test_files_of_a_later_version_with_more_columns_can_be_read(lake: DirectoryLake) -> None:
    file, path = some_file(lake)
    more = rows([click(1)]).append_column("new", [["x"]])
    pq.write_table(more, path)
    assert ids(lake.read(LakeFile(file.name, path.stat().st_size))) == [("e1", 1)]


def test_what_a_crash_left_unfinished_is_removed_at_the_next_opening(tmp_path: Path) -> None:
    lake = DirectoryLake(tmp_path)
    leftover = tmp_path / "unfinished" / "0123"
    leftover.write_bytes(b"half a file")
    file, _ = some_file(lake)
    again = DirectoryLake(tmp_path)
    assert not leftover.exists()
    assert again.files(NOON_MS) == [file]


def test_what_another_process_is_writing_stays_at_an_opening(tmp_path: Path) -> None:
    DirectoryLake(tmp_path)
    path = tmp_path / "unfinished" / "4567"
    with path.open("wb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        DirectoryLake(tmp_path)
        assert path.exists()
    DirectoryLake(tmp_path)
    assert not path.exists()


def test_a_lake_that_cannot_be_written_says_so_and_leaves_nothing(lake: DirectoryLake, tmp_path: Path) -> None:
    (tmp_path / "lake" / "raw").write_bytes(b"in the way")
    with pytest.raises(LakeError, match="cannot be written"):
        some_file(lake)
    assert list((tmp_path / "lake" / "unfinished").iterdir()) == []


def test_strangers_in_the_folder_are_not_listed(lake: DirectoryLake, tmp_path: Path) -> None:
    file, path = some_file(lake)
    (path.parent / "notes.txt").write_bytes(b"")
    strange = tmp_path / "lake" / "raw" / "date=2026-13-45" / "hour=99"
    strange.mkdir(parents=True)
    (strange / "a.parquet").write_bytes(b"")
    assert lake.files(NOON_MS) == [file]
    assert lake.hours() == [NOON_MS]


def test_every_page_has_a_checksum_and_no_statistic_can_hide_a_click(lake: DirectoryLake) -> None:
    _, path = some_file(lake)
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    assert [column.path_in_schema for column in columns if column.is_stats_set] == ["ad_id"]
    assert {column.compression for column in columns} == {"ZSTD"}
