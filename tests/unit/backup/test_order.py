"""What a backup holds fits together, whatever a log's writer, the archiver and retention do while it is made."""

import random
import sqlite3
from pathlib import Path

import pytest

from adtally import faultpoint, wiring
from adtally.config import Config, LakeConfig
from adtally.event import decode_event_lines, encode_event
from adtally.eventlog.port import BEGINNING, Partition
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.segment import segment_numbers
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.folder import DataFolder
from adtally.lake.archiver import Archiver
from adtally.lake.compaction import compact_hour
from adtally.lake.directory import DirectoryLake
from adtally.ledger.sql import SqlLedger
from support.lake_events import HOUR_MS, NOON_MS, Id, click, lake_rows

PARTITION = Partition("edge-0")
ROUNDS = 4


class System:
    """A log that is written, and its archiver; each `go_on` appends, archives, merges or removes something."""

    def __init__(self, root: Path, rnd: random.Random) -> None:
        self.folder, self.rnd = DataFolder(root), rnd
        self.folder.prepare()
        self.folder.log.mkdir()
        self.now_ms, self.seq = NOON_MS, 0
        self.acknowledged: set[Id] = set()
        self.writer = SqliteLogWriter.open(self.folder.log, PARTITION, "e1", self.now_ms, 2_000)
        self.lake = DirectoryLake(self.folder.lake)
        self.ledger = SqlLedger.open(self.folder.ledger)
        self.letters = SqliteDeadLetters(self.folder.dead_letters)
        reader = SqliteLogReader(self.folder.log, "archiver")
        self.archiver = Archiver(reader, self.lake, self.ledger, self.letters, LakeConfig(flush_ms=1), random.Random(1))

    def go_on(self) -> None:
        """Do one thing that a running system does."""
        self.now_ms += 1_000
        what = self.rnd.random()
        if what < 0.5:
            count = self.rnd.randint(1, 5)
            events = [click(self.seq + n, self.now_ms + self.rnd.randrange(3) * HOUR_MS) for n in range(1, count + 1)]
            self.writer.append([encode_event(event) for event in events], self.now_ms)
            self.seq += count
            self.acknowledged |= {(event.edge_id, event.seq) for event in events}
        elif what < 0.85:
            self.archiver.step(self.now_ms)
        elif what < 0.95:
            checkpoint_finished(self.folder.log)
            remove_expired(self.folder.log, lambda _: ("archiver",), self.now_ms)
        else:
            for hour_ms in self.lake.hours():
                compact_hour(self.lake, hour_ms)

    def close(self) -> None:
        self.writer.close(None, self.now_ms)
        self.ledger.close()
        self.letters.close()


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_what_a_backup_holds_fits_together(tmp_path: Path, seed: int, round_: int) -> None:
    rnd = random.Random(f"{seed} {round_}")
    system = System(tmp_path / "data", rnd)
    for _ in range(rnd.randrange(60)):
        system.go_on()
    before, turns = set(system.acknowledged), 8

    def meanwhile(name: str) -> None:
        nonlocal turns
        if name == "backup.file" and turns and rnd.random() < 0.5:
            turns -= 1
            # The archiver's own places must not come back here.
            faultpoint.on_reach = faultpoint._nothing
            for _ in range(rnd.randint(1, 6)):
                system.go_on()
            faultpoint.on_reach = meanwhile

    faultpoint.on_reach = meanwhile
    try:
        backup = wiring.take_backup(
            system.folder, Config(), tmp_path / "backups", lambda done, total: None, store=None, keep=None
        ).backup
    finally:
        faultpoint.on_reach = faultpoint._nothing
        system.close()
    check(backup, before)


def check(backup: Path, before: set[Id]) -> None:
    rows = lake_rows(DirectoryLake(backup / "lake"))
    in_lake = {(str(row["edge_id"]), int(str(row["seq"]))): str(row["offset"]) for row in rows}
    reader = SqliteLogReader(backup / "log", "archiver")
    start, in_log, to_read = BEGINNING, {}, set()
    begin = reader.committed().get(PARTITION, BEGINNING)
    end = ""
    while records := reader.read(PARTITION, start, 1 << 24):
        start = end = records[-1].next
        for record in records:
            if record.kind == "events":
                for index, event in enumerate(decode_event_lines(record.payload)):
                    offset = reader.position_of(record, index)
                    in_log[event.edge_id, event.seq] = offset
                    if offset >= begin:
                        to_read.add((event.edge_id, event.seq))
    # Raises where it stands before the first segment.
    reader.read(PARTITION, begin, 1)
    reader.close()
    assert before <= in_lake.keys() | to_read, "acknowledged, and neither in the lake nor before the archiver"
    # A newest segment may have no records yet; its writer goes on behind it all the same.
    end = max(end, f"{segment_numbers(backup / 'log' / PARTITION)[-1]:08d}-00000000-000000")
    assert all(offset < end for offset in in_lake.values()), "a place in the lake will be given out again"
    with sqlite3.connect(backup / "ledger.db") as connection:
        noted = dict(connection.execute("SELECT partition, position FROM archive").fetchall()).get(PARTITION, "")
    connection.close()
    assert noted <= end, "the ledger says more than the log will ever have had"
    assert {id_ for id_, offset in in_log.items() if offset < noted} <= in_lake.keys(), "the lake lacks what is noted"
