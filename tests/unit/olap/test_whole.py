"""Numbers of a store that lost parts are not given until somebody has made them anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adtally.errors import StoreUnavailableError
from adtally.olap.chdb import ChdbStore
from adtally.olap.whole import ReaderWhenWhole
from support.olap_stores import MEMORY_BYTES_MAX, NOON_S, Live, publish, total

NOON_MS = NOON_S * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "olap"


@contextmanager
def opened(path: Path) -> Iterator[ChdbStore]:
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def test_a_damaged_final_part_is_told_of_until_its_rows_were_made_anew(path: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with opened(path) as store:
        publish(store, results, NOON_MS, Live(3, ["a"]))
        assert store.lost_parts() == 0
    for file in path.rglob("count.txt"):
        file.write_bytes(b"")

    with opened(path) as store:
        # Minutes and quarter hours.
        assert store.lost_parts() == 2
        publish(store, results, NOON_MS, Live(3, ["a"]))
        store.forget_lost_parts()
        assert store.lost_parts() == 0


def test_a_reader_waits_until_the_store_is_whole(path: Path) -> None:
    whole = False
    with opened(path) as store:
        reader = ReaderWhenWhole(store, lambda: whole)
        with pytest.raises(StoreUnavailableError, match="made anew"):
            total(reader)
        whole = True
        assert total(reader) == (0, 0)
