"""The whole embedded system on one clock, one disk and one thread: what can happen to it, each as one call.

Processes are objects: killing one is forgetting it. A kill in the middle of a call happens on the disk, in place of one
of the call's writes or syncs, and nothing that the dying code still tries to do changes anything.
"""

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import msgspec

from adtally.config import StreamConfig
from adtally.edge.identity import new_edge_id
from adtally.errors import AdtallyError, LogError
from adtally.eventlog.port import BEGINNING, Partition, Position, is_import
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.stream.port import LiveFlush
from adtally.wiring import edge_partition
from simulation.clock import SimulatedClock
from simulation.counter import SimulatedCounter, SlowNetwork, at_rest, watch_order
from simulation.edge import Limits, SimulatedEdge, Truth
from simulation.places import Places
from simulation.traffic import Crowd, FixedAds
from support.counts import MemoryLive
from support.disk import KilledError, SimulatedDisk

KILL_CALLS_MAX = (4, 14)
"""A killed process gets to do fewer writes and syncs than one of these: an append takes few, a new segment many."""
KILL_CALLS_LONG_MAX = (14, 60, 200)
"""Where a call does much: a flush of the archiver's, a pass of the reconciler's."""
KILL_PASSINGS = (0, 0, 0, 1, 2)


class Process(Protocol):
    """What can be killed."""

    def kill(self) -> None:
        """End as a killed process does: the files are closed by the system, and nothing is written."""
        ...


class Timeline:
    """What happened, a line each, with the simulated time."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def digest(self) -> str:
        """Give what two runs of one seed must share."""
        return blake2b("\n".join(self.lines).encode()).hexdigest()

    def end(self, count: int) -> str:
        """Give the last lines."""
        return "\n".join(self.lines[-count:])


class Sizes(msgspec.Struct, frozen=True):
    """How a run's system is configured."""

    limits: Limits
    stream: StreamConfig


class World:
    """The system, and the powers that be."""

    def __init__(self, root: Path, disk: SimulatedDisk, rnd: random.Random, sizes: Sizes, *, in_order: bool) -> None:
        self.places = Places(root)
        self.log_root = self.places.log
        self.disk = disk
        self.rnd = rnd
        self.sizes = sizes
        self._in_order = in_order
        self.clock = SimulatedClock(rnd)
        self.timeline = Timeline()
        self.truth = Truth()
        self.live = MemoryLive()
        self.network = SlowNetwork(self.take, rnd)
        self.crowd = Crowd(rnd)
        self.edges: list[SimulatedEdge | None] = []
        """By worker; None is one that does not run. Empty while the whole system is down."""
        self.counter: SimulatedCounter | None = None

    def note(self, actor: str, what: str) -> None:
        """Write a line of the timeline, in which nothing tells where the run took place."""
        what = what.replace(f"{self.places.root}/", "")
        self.timeline.lines.append(f"{self.clock.now_ms() - self.clock.origin_ms:>9} {actor:<8} {what}")

    @property
    def up(self) -> bool:
        """Whether there is a supervisor."""
        return bool(self.edges)

    def running(self) -> list[SimulatedEdge]:
        """Give the edges that run."""
        return [edge for edge in self.edges if edge is not None]

    def start(self, workers: int) -> None:
        """Do what the supervisor does before it starts its processes (wiring.prepare_logs)."""
        self.log_root.mkdir(exist_ok=True)
        now_ms, vfs = self.clock.now_ms(), self.disk.name
        expected = [edge_partition(index) for index in range(workers)]
        try:
            for partition in expected:
                SqliteLogWriter.expect(self.log_root, partition, new_edge_id(), now_ms, vfs)
            for partition in SqliteLogReader(self.log_root, "supervisor", vfs).partitions():
                if partition not in expected and not is_import(partition):
                    SqliteLogWriter.retire(self.log_root, partition, now_ms, vfs)
        except LogError as error:
            self.note("system", f"does not start: {error}")
            return
        self.edges = [None] * workers
        self.note("system", f"starts with {workers} edges")

    def make_edge(self, index: int) -> SimulatedEdge:
        """Start a worker's process. Raises LogError."""
        return SimulatedEdge(
            self.log_root, index, self.sizes.limits, self.clock, self.truth, self.disk.name, FixedAds()
        )

    def start_edge(self, index: int) -> None:
        """Start a worker that does not run."""
        try:
            edge = self.make_edge(index)
        except LogError as error:
            self.note(f"edge-{index}", f"does not start: {error}")
            return
        self.edges[index] = edge
        self.note(f"edge-{index}", f"starts as {edge.identity.edge_id[:4]} at {edge.identity.ts_ms}")

    def take(self, flush: LiveFlush) -> None:
        """Do what the store does with a flush. Raises StoreUnavailableError."""
        self.live.append(flush.rows)

    def make_counter(self) -> SimulatedCounter:
        """Start the counter's process. Raises AdtallyError."""
        return SimulatedCounter(self.places, self.sizes.stream, self.network, self.disk.name)

    def start_counter(self) -> None:
        """Start the counter, which does not run."""
        try:
            self.counter = self.make_counter()
            if self._in_order:
                watch_order(self.counter.stream)
        except AdtallyError as error:
            self.note("counter", f"does not start: {error}")
            return
        self.note("counter", "starts")

    def tidy(self) -> str:
        """Let the janitor work. Nothing is so old that it may go."""
        assert self.counter is not None
        return self.counter.tidy()

    def interrupt(self, what: str, call: Callable[[], object], places: Sequence[str] = ()) -> None:
        """Begin a call that its process does not survive; its remains must be buried with `bury` next.

        `places` are named ones that the call may come by.
        """
        if places and self.rnd.random() < 0.6:
            self.disk.kill_at = self.rnd.choice(places), self.rnd.choice(KILL_PASSINGS)
        else:
            self.disk.kill_after = self.rnd.randrange(
                self.rnd.choice(KILL_CALLS_LONG_MAX if places else KILL_CALLS_MAX)
            )
        try:
            call()
        except KilledError:
            self.note("disk", f"the call never returns: {what}")
        finally:
            self.disk.kill_after = self.disk.kill_at = None

    def bury(self, *processes: Process | None) -> None:
        """Forget killed processes; not one byte on the disk changes."""
        self.disk.dead = True
        for process in processes:
            if process is not None:
                process.kill()
        self.disk.dead = False

    def kill_edge(self, edge: SimulatedEdge) -> None:
        """Kill a worker. The system lives, and with it what was written and not synced."""
        self.edges[edge.index] = None
        self.bury(edge)
        self.note(f"edge-{edge.index}", "is killed")

    def kill_counter(self) -> None:
        """Kill the counter."""
        counter, self.counter = self.counter, None
        self.bury(counter)
        self.note("counter", "is killed")

    def lose_power(self) -> None:
        """End everything at once; what was not synced is lost or torn."""
        self.bury(*self.edges, self.counter)
        self.edges, self.counter = [], None
        self.disk.crash()
        self.note("system", "loses power")

    def stop(self) -> None:
        """Stop in order: the edges bring what they have into the log, within the time that they are given."""
        for edge in self.running():
            self.stop_edge(edge)
        if self.counter is not None:
            self.kill_counter()
        self.edges = []
        self.note("system", "stops")

    def stop_edge(self, edge: SimulatedEdge) -> None:
        """Stop one worker in order."""
        for _ in range(12):
            if edge.commit.empty:
                break
            if not edge.work():
                self.clock.advance(250)
        self.note(f"edge-{edge.index}", f"closes {edge.close()}")
        self.edges[edge.index] = None

    def settle(self) -> None:
        """Bring everything to rest: let the last event into the log, and count it."""
        self.disk.failing = False
        if not self.up:
            self.start(1)
        for index, edge in enumerate(self.edges):
            if edge is None:
                self.start_edge(index)
        if self.counter is None:
            self.start_counter()
        self.clock.go_beyond(3_000)
        for edge in self.running():
            while edge.work():
                pass
        self.clock.advance(3_000)
        for edge in self.running():
            edge.heartbeat()
            while edge.work():
                pass
        self.note("system", "settles")
        self.count_all()

    def count_all(self) -> None:
        """Let the stream count and deliver all that the log holds."""
        assert self.counter is not None
        ends = self.ends()
        for _ in range(60):
            self.clock.advance(self.sizes.stream.flush_ms)
            # The clock stands meanwhile: what is under way ends, the next delivery begins and ends, no other is due.
            for _ in range(3):
                self.note("counter", self.counter.step(self.clock.now_ms()))
                if self.counter.pump.under_way is not None:
                    self.note("counter", f"delivers {self.counter.pump.deliver()}")
            if at_rest(self.counter.stream, {each: end for each, end in ends.items() if not is_import(each)}):
                return
        raise AssertionError(f"the stream does not come to rest, the log ends {ends}: {self.counter.stream.report(0)}")

    def ends(self) -> dict[Partition, Position]:
        """Give the ends of the log's partitions."""
        reader = SqliteLogReader(self.log_root, "checker", self.disk.name)
        ends = {partition: log_end(reader, partition) for partition in reader.partitions()}
        reader.close()
        return ends


def log_end(reader: SqliteLogReader, partition: Partition) -> Position:
    """Give the position behind a partition's last record."""
    at = BEGINNING
    while records := reader.read(partition, at, 1 << 20):
        at = records[-1].next
    return at
