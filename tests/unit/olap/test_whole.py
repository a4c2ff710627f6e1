"""Numbers of a store that lost parts are not given until somebody has made them anew."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.errors import StoreUnavailableError
from adtally.olap.chdb import ChdbStore
from adtally.olap.port import Span
from adtally.olap.whole import ReaderWhenWhole
from adtally.utc import FOREVER_MS, HOUR_MS, hour_of
from adtally.wiring.stores import Wholeness
from support.memory_ledger import MemoryLedger
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


def test_a_store_that_was_made_anew_lacks_what_the_ledger_says_until_it_is_published_again(
    path: Path, tmp_path: Path
) -> None:
    results, ledger, hour_ms = tmp_path / "results", MemoryLedger(), hour_of(SYSTEM_CLOCK.now_ms()) - HOUR_MS
    results.mkdir()
    click = Live(3, ["a"], minute_s=hour_ms // 1000)
    with opened(path) as store:
        assert Wholeness(store, ledger, Config()).is_whole()
        publish(store, results, hour_ms, click)
        # An hour that turned out to be empty has a span, and nothing in the store.
        ledger.note_spans([*store.spans("minute", 0, FOREVER_MS), Span("minute", hour_ms + HOUR_MS, 0, 0)])
        assert Wholeness(store, ledger, Config()).is_whole()
    shutil.rmtree(path)
    with opened(path) as store:
        wholeness = Wholeness(store, ledger, Config())
        assert not wholeness.is_whole()
        publish(store, results, hour_ms, click)
        wholeness.verified()
        assert wholeness.is_whole()


def test_a_reader_waits_until_the_store_is_whole(path: Path) -> None:
    whole = False
    with opened(path) as store:
        reader = ReaderWhenWhole(store, lambda: whole)
        with pytest.raises(StoreUnavailableError, match="made anew"):
            total(reader)
        whole = True
        assert total(reader) == (0, 0)
