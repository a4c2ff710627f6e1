"""Live rows follow the rules: after a change, hours that are not final are counted again."""

from pathlib import Path

import msgspec
import pytest

from adtally import wiring
from adtally.config import Config, StreamConfig
from adtally.event import Closing, Event, encode_event
from adtally.eventlog.port import Partition
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.folder import DataFolder
from adtally.olap.chdb import ChdbStore
from adtally.olap.port import EVERYONE, AggregateQuery
from adtally.stream.port import LiveFlush
from adtally.stream.stream import Stream
from adtally.wiring.stores import open_store
from support.memory_log import MemoryDeadLetters

NOON_MS = 1_795_780_800_000
DELAY_MS = 30_000
STRICT = Config(stream=StreamConfig(lateness_ms=DELAY_MS - 1))
"""By these rules the click that came late is not counted live."""


class StorePump:
    """Implements Pump straight into a store."""

    def __init__(self, store: ChdbStore) -> None:
        self._store = store
        self._started = False

    def start(self, flush: LiveFlush) -> None:
        self._store.append_live(flush.rows)
        self._started = True

    def finished(self) -> bool | None:
        started, self._started = self._started, False
        return True if started else None


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.prepare()
    made.log.mkdir()
    writer = SqliteLogWriter.open(made.log, Partition("edge-0"), "e1", NOON_MS, 1 << 20)
    for seq, appended_ms in ((1, NOON_MS + 1), (2, NOON_MS + DELAY_MS)):
        event = Event("e1", seq, NOON_MS, "ad", "c", "adv", f"u{seq}", "mobile", "ok", "", "agent")
        writer.append([encode_event(event)], appended_ms)
    writer.close(Closing("e1", 2, NOON_MS + DELAY_MS), NOON_MS + DELAY_MS)
    return made


def counted(folder: DataFolder, config: Config) -> int:
    """Let a stream count all that the log holds behind its place, and give the clicks that the store shows."""
    store = open_store(folder, config)
    assert isinstance(store, ChdbStore)
    reader = SqliteLogReader(folder.log, "stream")
    stream = Stream(reader, MemoryDeadLetters(), StorePump(store), config.stream)
    for step in range(10):
        stream.step(NOON_MS + DELAY_MS + step * 10_000)
    reader.close()
    rows = store.aggregate(AggregateQuery(EVERYONE, (NOON_MS, NOON_MS + 60_000), ()))
    store.close()
    return sum(row.clicks for row in rows)


def test_stricter_rules_count_open_hours_again_and_do_not_keep_the_greater_totals(folder: DataFolder) -> None:
    config = Config()
    assert not wiring.follow_rules(folder, config)
    assert counted(folder, config) == 2
    assert not wiring.follow_rules(folder, config)
    assert counted(folder, STRICT) == 2, "nobody said that the rules have changed"
    assert wiring.follow_rules(folder, STRICT)
    assert counted(folder, STRICT) == 1
    assert not wiring.follow_rules(folder, STRICT)
    assert wiring.follow_rules(folder, config)
    assert counted(folder, config) == 2


def test_a_start_that_dies_meanwhile_is_repeated_by_the_next(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiring.follow_rules(folder, Config())
    counted(folder, Config())
    with monkeypatch.context() as patch:
        patch.setattr("adtally.wiring.anew.open_store", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            wiring.follow_rules(folder, STRICT)
    assert wiring.follow_rules(folder, STRICT)
    assert counted(folder, STRICT) == 1


def test_the_file_names_every_rule(folder: DataFolder) -> None:
    wiring.follow_rules(folder, STRICT)
    assert msgspec.json.decode(folder.live_rules.read_bytes())["lateness_ms"] == STRICT.stream.lateness_ms
