"""What every lake must do: the folder, the bucket, and the one in memory that other tests use."""

from pathlib import Path

import pytest
from deploy.local.s3 import S3

from adtally.errors import LakeFileGoneError
from adtally.lake.columns import EVENT_COLUMNS
from adtally.lake.directory import DirectoryLake
from adtally.lake.port import Lake
from adtally.lake.s3 import S3Lake
from support.lake_events import HOUR_MS, NOON_MS, click, ids, rows
from support.memory_lake import MemoryLake
from support.s3 import access, fresh_url


def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return DirectoryLake(tmp_path / "lake")


def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return MemoryLake()


def s3(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    server = request.getfixturevalue("servers").running(S3)
    return S3Lake(f"{fresh_url(server)}/lake", access(server))


@pytest.fixture(params=[directory, memory, pytest.param(s3, marks=pytest.mark.servers)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    opened: Lake = request.param(request, tmp_path)
    return opened


def test_an_empty_lake_has_no_hours_and_no_files(lake: Lake) -> None:
    assert lake.hours() == []
    assert lake.files(NOON_MS) == []
    assert lake.listing() == {}
    lake.remove_hour(NOON_MS)


def test_what_was_written_is_read_back_sorted_by_ad_and_time(lake: Lake) -> None:
    clicks = [
        click(1, NOON_MS + 5, ad_id="b"), click(2, NOON_MS + 9, ad_id="a"), click(3, NOON_MS + 7, ad_id="a")
    ]  # fmt: skip
    file = lake.write(NOON_MS, "edge-0-1-3", rows(clicks))
    assert lake.files(NOON_MS) == [file]
    found = lake.read(file)
    assert found.schema.names == EVENT_COLUMNS.names
    assert found["seq"].to_pylist() == [3, 2, 1]
    assert found.sort_by("seq").to_pylist() == rows(clicks).to_pylist()


def test_a_read_of_some_columns_gives_those(lake: Lake) -> None:
    file = lake.write(NOON_MS, "edge-0-1-1", rows([click(1)]))
    assert lake.read(file, ["seq", "edge_id"]).to_pylist() == [{"seq": 1, "edge_id": "e1"}]


def test_a_file_is_named_after_its_hour_in_utc(lake: Lake) -> None:
    file = lake.write(NOON_MS + 11 * HOUR_MS, "edge-0-a-b", rows([click(1)]))
    assert file.name == "raw/date=2026-11-27/hour=23/edge-0-a-b.parquet"
    assert lake.write(0, "x", rows([click(1)])).name == "raw/date=1970-01-01/hour=00/x.parquet"


def test_hours_and_files_are_listed_in_order(lake: Lake) -> None:
    for hour_ms in (NOON_MS + 24 * HOUR_MS, NOON_MS, NOON_MS + HOUR_MS):
        for stem in ("b", "a"):
            lake.write(hour_ms, stem, rows([click(1)]))
    assert lake.hours() == [NOON_MS, NOON_MS + HOUR_MS, NOON_MS + 24 * HOUR_MS]
    assert [file.name[-9:] for file in lake.files(NOON_MS)] == ["a.parquet", "b.parquet"]
    assert list(lake.listing().items()) == [(hour_ms, lake.files(hour_ms)) for hour_ms in lake.hours()]


def test_a_file_that_is_written_again_is_replaced(lake: Lake) -> None:
    old = lake.write(NOON_MS, "a", rows([click(1)]))
    new = lake.write(NOON_MS, "a", rows([click(seq, user_id=f"user-{seq}") for seq in range(9)]))
    assert lake.files(NOON_MS) == [new]
    assert len(lake.read(new)) == 9
    with pytest.raises(LakeFileGoneError):
        lake.read(old)


def test_replacing_leaves_the_new_file_alone(lake: Lake) -> None:
    old = [lake.write(NOON_MS, stem, rows([click(seq)])) for seq, stem in enumerate("abc")]
    new = lake.replace(NOON_MS, "d", rows([click(0), click(1)]), old[:2])
    assert lake.files(NOON_MS) == [old[2], new]
    assert ids(lake.read(new)) == [("e1", 0), ("e1", 1)]
    with pytest.raises(LakeFileGoneError):
        lake.read(old[0])


def test_replacing_a_file_by_one_of_its_name_keeps_it(lake: Lake) -> None:
    old = [lake.write(NOON_MS, stem, rows([click(seq)])) for seq, stem in enumerate("ab")]
    new = lake.replace(NOON_MS, "a", rows([click(0), click(1)]), old)
    assert lake.files(NOON_MS) == [new]
    assert ids(lake.read(new)) == [("e1", 0), ("e1", 1)]


def test_replacing_what_is_gone_already_changes_nothing_else(lake: Lake) -> None:
    old = lake.write(NOON_MS, "a", rows([click(1)]))
    lake.replace(NOON_MS, "b", rows([click(1)]), [old])
    new = lake.replace(NOON_MS, "b", rows([click(1)]), [old])
    assert lake.files(NOON_MS) == [new]


def test_a_removed_hour_is_gone_and_can_come_again(lake: Lake) -> None:
    file = lake.write(NOON_MS, "a", rows([click(1)]))
    lake.write(NOON_MS + HOUR_MS, "a", rows([click(2)]))
    lake.remove_hour(NOON_MS)
    assert lake.hours() == [NOON_MS + HOUR_MS]
    with pytest.raises(LakeFileGoneError):
        lake.read(file)
    lake.write(NOON_MS, "a", rows([click(1)]))
    assert lake.hours() == [NOON_MS, NOON_MS + HOUR_MS]


def test_text_of_every_kind_comes_back_as_it_was(lake: Lake) -> None:
    odd = [click(1, ad_id="", user_id="\U0001f600"), click(2, ad_id="é\0\n", user_id="x" * 5_000)]
    assert lake.read(lake.write(NOON_MS, "a", rows(odd))).sort_by("seq").to_pylist() == rows(odd).to_pylist()
