"""What must hold after every run, whatever happened in it."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from adtally.config import StreamConfig
from adtally.event import Closing, Control, Event, Heartbeat, Lost, decode_control, decode_event
from adtally.eventlog.port import BEGINNING, Partition, Position, Record, is_import
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.stream.stream import Stream
from simulation.counter import at_rest
from simulation.edge import EventId, Truth, name
from support.counts import Counts, InstantPump, MemoryLive, expected_counts
from support.memory_log import MemoryDeadLetters


class Appended(msgspec.Struct, frozen=True):
    """One event as it was found in the log."""

    event: Event
    encoded: bytes
    appended_ms: int

    @property
    def id(self) -> EventId:
        return self.event.edge_id, self.event.seq


class Contents:
    """The whole log, read anew."""

    def __init__(self, root: Path, vfs: str) -> None:
        reader = SqliteLogReader(root, "checker", vfs)
        records = {partition: list(_read_all(reader, partition)) for partition in reader.partitions()}
        reader.close()
        self._take(records, SqliteLogReader(root, "stream", vfs).committed())

    @classmethod
    def empty(cls) -> Self:
        """Give what no log holds."""
        nothing = cls.__new__(cls)
        nothing._take({}, {})
        return nothing

    def joined(self, newer: Self) -> Self:
        """Give what either of two looks at one log has seen: the older one what retention has removed since."""
        both = type(self).empty()
        records = {
            partition: _united(self.records.get(partition, []), newer.records.get(partition, []))
            for partition in self.records.keys() | newer.records.keys()
        }
        both._take({partition: records[partition] for partition in sorted(records)}, newer.committed)
        return both

    def begins_before(self, newer: Self) -> bool:
        """Tell whether it holds records from before the begin of another look."""
        return any(records and records[0].at < newer.records[part][0].at for part, records in self.records.items())

    def _take(self, records: dict[Partition, list[Record]], committed: dict[Partition, Position]) -> None:
        self.records, self.committed = records, committed
        self.damaged = [record for record in self._all() if record.kind == "damaged"]
        self.controls: list[Control] = [decode_control(each.payload) for each in self._all() if each.kind == "control"]
        self.events = [
            Appended(decode_event(line), line, record.appended_ms)
            for record in self._all()
            if record.kind == "events"
            for line in record.payload.split(b"\n")
        ]

    @property
    def clicked(self) -> list[Appended]:
        """The events that were not imported."""
        return [each for each in self.events if not is_import(Partition(each.event.edge_id))]

    def _all(self) -> Iterable[Record]:
        return (record for records in self.records.values() for record in records)


def check_log(contents: Contents, truth: Truth) -> None:
    """Check what was promised to those who clicked, and that loss would be seen."""
    ids = [appended.id for appended in contents.events]
    present = set(ids)
    missing = truth.acknowledged - present
    assert not missing, f"acknowledged, but not in the log: {names(missing)}"
    assert len(present) == len(ids), f"more than once in the log: {names(i for i in present if ids.count(i) > 1)}"
    invented = [each.id for each in contents.events if truth.sent.get(each.id) != each.encoded]
    assert not invented, f"in the log, but never sent so: {names(invented)}"
    assert not contents.damaged, f"damaged, though no byte was flipped: {contents.damaged}"
    _check_order(contents)
    _check_gaps(contents, present, truth)
    for partition, position in contents.committed.items():
        _check_position(contents.records.get(partition, []), position)


def check_live(contents: Contents, live: Counts, config: StreamConfig) -> None:
    """Check the live numbers against the oracle's."""
    expected = _expected(contents, config)
    assert live == expected, f"the live numbers are wrong: {differences(live, expected)}"


def check_live_is_bounded(contents: Contents, live: Counts) -> None:
    """Check what holds for the live numbers even after a clock was set back: nothing is invented."""
    received: dict[tuple[str, int, str], int] = defaultdict(int)
    users: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    for each in contents.events:
        cell = each.event.ad_id, each.event.ts_ms // 60_000 * 60, each.event.device
        received[cell] += 1
        users[cell].add(each.event.user_id)
    for (_, _, ad_id, minute_s, device, outcome), (clicks, people) in live.items():
        cell = ad_id, minute_s, device
        assert clicks <= received[cell], f"more {outcome} than received in {cell}: {clicks} of {received[cell]}"
        assert people <= users[cell], f"people who did not click in {cell}: {people - users[cell]}"


def check_replay(contents: Contents, root: Path, vfs: str, config: StreamConfig) -> None:
    """Check that a stream that begins with the log's first record comes to the same numbers."""
    live = MemoryLive()
    reader = SqliteLogReader(root, "replay", vfs, lambda partition: not is_import(partition))
    stream = Stream(reader, MemoryDeadLetters(), InstantPump(live), config)
    ends = {partition: records[-1].next for partition, records in contents.records.items() if records}
    ends |= {partition: BEGINNING for partition, records in contents.records.items() if not records}
    ends = {partition: end for partition, end in ends.items() if not is_import(partition)}
    for step in range(1_000):
        stream.step(step * config.flush_ms)
        if at_rest(stream, ends):
            break
    reader.close()
    expected = _expected(contents, config)
    assert live.counts() == expected, f"a replay gives other numbers: {differences(live.counts(), expected)}"


def check_dead_letters(path: Path, vfs: str) -> None:
    """Check that nothing was buried."""
    letters = SqliteDeadLetters(path, vfs)
    buried = letters.list(10)
    letters._connection.close()
    assert not buried, f"dead letters, though no byte was flipped: {buried}"


def names(ids: Iterable[EventId]) -> str:
    return " ".join(map(name, sorted(ids)))


def differences(live: Counts, expected: Counts) -> str:
    """Give the cells that differ, live and expected."""
    cells = sorted(cell for cell in live.keys() | expected.keys() if live.get(cell) != expected.get(cell))
    return "; ".join(f"{cell}: {live.get(cell)} instead of {expected.get(cell)}" for cell in cells[:5])


def _expected(contents: Contents, config: StreamConfig) -> Counts:
    appends = [(each.appended_ms, each.event) for each in contents.clicked]
    return expected_counts(appends, config.dedup_window_ms, config.lateness_ms)


def _read_all(reader: SqliteLogReader, partition: Partition) -> Iterable[Record]:
    at = BEGINNING
    while records := reader.read(partition, at, 1 << 20):
        yield from records
        at = records[-1].next


def _united(older: list[Record], newer: list[Record]) -> list[Record]:
    first = newer[0].at if newer else BEGINNING
    return [*(record for record in older if record.at < first), *newer] if newer else older


def _check_order(contents: Contents) -> None:
    last: dict[str, tuple[int, int]] = {}
    for each in contents.clicked:
        seq, ts_ms = last.get(each.event.edge_id, (0, 0))
        assert each.event.seq > seq, f"{name(each.id)} stands behind {seq}"
        assert each.event.ts_ms >= ts_ms, f"{name(each.id)} is older than what stands before it"
        last[each.event.edge_id] = each.event.seq, each.event.ts_ms


def _check_gaps(contents: Contents, present: set[EventId], truth: Truth) -> None:
    """Every number up to what an edge said last is in the log, or is there as lost."""
    told: dict[str, int] = defaultdict(int)
    lost: set[EventId] = set()
    for record in contents.controls:
        if isinstance(record, Heartbeat | Closing):
            told[record.edge_id] = max(told[record.edge_id], record.last_seq)
        elif isinstance(record, Lost):
            lost |= {(record.edge_id, seq) for seq in range(record.first_seq, record.last_seq + 1)}
    for edge_id, seq in present:
        told[edge_id] = max(told[edge_id], seq)
    both = lost & present
    assert not both, f"in the log, and there as lost, too: {names(both)}"
    gaps = {(edge_id, seq) for edge_id, end in told.items() for seq in range(1, end + 1)} - lost - present
    silent = {gap for gap in gaps if gap[0] not in truth.undrained}
    assert not silent, f"neither in the log nor there as lost: {names(silent)}"


def _check_position(records: list[Record], position: Position) -> None:
    known = position == BEGINNING or any(record.at <= position <= record.next for record in records)
    assert known, f"a reader's position points past what the log holds: {position}"
