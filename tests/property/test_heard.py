"""How far the live numbers are said to reach, while edges spool, fall silent, die and begin, and streams restart."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.config import StreamConfig
from adtally.event import Closing, Event, Heartbeat, Opening
from adtally.eventlog.port import CONTROLS, Partition, Position, Record
from adtally.stream.heard import CLOCKS_APART_MS
from adtally.stream.partitioned import PartitionedStream
from support.counts import InstantPump, MemoryLive
from support.memory_log import MemoryDeadLetters, MemoryLog, MemoryLogReader

LATENESS_MS = 60_000
CONFIG = StreamConfig(dedup_window_ms=240_000, lateness_ms=LATENESS_MS, flush_ms=1, commit_ms=1)
START_MS = 1_700_000_000_000
PARTITIONS = 2


class Edge:
    """Keeps the rules of an edge: a batch before its heartbeat, an opening before all, a closing behind all."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.skew_ms = world.rnd.randrange(CLOCKS_APART_MS)
        self.away = False
        self.seq = 0
        self.pending: list[Event] = []
        self.spool: list[Event] = []
        self.ts_ms = world.now_ms + self.skew_ms
        world.log.append_control(CONTROLS, Opening(name, self.ts_ms), world.now_ms)

    def click(self) -> None:
        self.seq += 1
        self.ts_ms = max(self.ts_ms, self.world.now_ms + self.skew_ms)
        self.pending.append(Event(self.name, self.seq, self.ts_ms, "ad", "c", "a", "u", "mobile", "ok", "", "", "i"))

    def commit(self) -> None:
        if self.away:
            self.spool += self.pending
        else:
            self.world.append(self.pending)
        self.pending = []

    def beat(self) -> None:
        self.ts_ms = max(self.ts_ms, self.world.now_ms + self.skew_ms)
        self.commit()
        if not self.away:
            oldest_ms = self.spool[0].ts_ms if self.spool else None
            self.world.log.append_control(
                CONTROLS, Heartbeat(self.name, self.seq, self.ts_ms, oldest_ms), self.world.now_ms
            )

    def drain(self) -> None:
        if not self.away:
            self.world.append(self.spool[:2])
            del self.spool[:2]


class Reader(MemoryLogReader):
    """Gives clicks in pieces, and control records as they are."""

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        if partition != CONTROLS:
            return super().read(partition, start, bytes_max)
        few, self.records_max = self.records_max, 1_000_000
        try:
            return super().read(partition, start, bytes_max)
        finally:
            self.records_max = few


class World:
    """A log, edges, and a stream; `told` are the time, how far the numbers were said to reach, and the log's length."""

    def __init__(self, rnd: random.Random) -> None:
        self.rnd, self.now_ms = rnd, START_MS
        self.log, self.live = MemoryLog(), MemoryLive()
        for number in range(PARTITIONS):
            self.log.records[Partition(f"clicks-{number}")] = []
        self.appended: list[tuple[int, Event]] = []
        self.told: list[tuple[int, int]] = []
        self.edges = [Edge(self, f"e{number}") for number in range(3)]
        self.dead: list[Edge] = []
        self.begun = 0
        self.restart(1_000)

    def restart(self, records_max: int) -> None:
        self.pump = InstantPump(self.live)
        reader = Reader(self.log, "stream")
        reader.records_max = records_max
        self.stream = PartitionedStream(reader, MemoryDeadLetters(), self.pump, CONFIG)

    def append(self, events: list[Event]) -> None:
        for event in events:
            self.log.append(f"clicks-{self.rnd.randrange(PARTITIONS)}", [event], self.now_ms)
            self.appended.append((self.now_ms, event))

    def step(self) -> None:
        self.stream.step(self.now_ms)
        self.told.append((self.pump.as_of_ms, len(self.appended)))

    def kill(self, place: int) -> None:
        edge = self.edges.pop(place)
        # What was not committed got no answer.
        edge.pending = []
        self.dead.append(edge)

    def bury(self) -> None:
        edge = self.dead.pop()
        self.append(edge.spool)
        self.log.append_control(CONTROLS, Closing(edge.name, edge.seq, edge.ts_ms), self.now_ms)

    def one_thing(self) -> None:
        self.now_ms += self.rnd.choice([0, 1, 40, 260, 1_000, 3_000])
        what = self.rnd.randrange(100)
        place = self.rnd.randrange(len(self.edges)) if self.edges else 0
        if what < 30:
            self.step()
        elif what < 33:
            self.restart(self.rnd.choice([1, 3, 1_000]))
        elif what < 38 and self.dead:
            self.bury()
        elif what < 42 or not self.edges:
            self.begun += 1
            self.edges.append(Edge(self, f"n{self.begun}"))
        elif what < 44:
            self.kill(place)
        elif what < 50:
            self.edges[place].away = not self.edges[place].away
        else:
            edge = self.edges[place]
            self.rnd.choice([edge.click, edge.click, edge.commit, edge.beat, edge.beat, edge.drain])()


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_no_event_that_is_appended_later_and_is_not_late_is_older_than_what_was_said_to_be_counted(seed: int) -> None:
    world = World(random.Random(seed))
    for _ in range(200):
        world.one_thing()
    for as_of_ms, length in world.told:
        for appended_ms, event in world.appended[length:]:
            assert event.ts_ms >= as_of_ms or event.ts_ms < appended_ms - LATENESS_MS


@given(st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_while_all_edges_speak_the_numbers_reach_to_five_seconds_ago(seed: int) -> None:
    world = World(random.Random(seed))
    for _ in range(100):
        world.one_thing()
    while world.dead:
        world.bury()
    for edge in world.edges:
        edge.away = False
        world.append(edge.spool)
        edge.spool = []
    world.restart(1_000)
    for _ in range(100):
        world.now_ms += 100
        for edge in world.edges:
            edge.click()
            edge.beat()
        world.step()
    assert not world.edges or world.pump.as_of_ms >= world.now_ms - 5_000
