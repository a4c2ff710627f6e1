"""One host's edges with their spools before a log far away: every step is one call, and each can be the last one."""

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from adtally import faultpoint
from adtally.edge.commit import GroupCommit
from adtally.edge.identity import Identity
from adtally.errors import LogError
from adtally.event import Control, Event, encode_event
from adtally.eventlog.spool.writer import SpooledWriter
from support.disk import KilledError, SimulatedDisk
from support.spool_far_log import SLOW_MS, Clock, FarLog, FarWriter

QUICK_MS = SLOW_MS - 1
EventId = tuple[str, int]


class Truth:
    """What was answered, told by those outside."""

    def __init__(self) -> None:
        self.acknowledged: set[EventId] = set()
        self.doubted: set[EventId] = set()
        """Answered by a 302 with `X-Click-Recorded: false`."""
        self.ended: dict[str, int] = {}
        """Edges that ended in order, with their last number."""
        self.known: set[str] = set()


class Edge:
    """A worker's commit thread and its drainer, with the real group commit in front."""

    def __init__(
        self, root: Path, edge_id: str, bytes_max: int, log: FarLog, clock: Clock, truth: Truth, vfs: str
    ) -> None:
        self.writer, self.drainer = SpooledWriter.open(
            FarWriter(log, "fresh"), FarWriter(log, "drain"), root, edge_id, clock.now_ms(), bytes_max, QUICK_MS, vfs
        )
        self.drainer._clock = clock
        self.identity = Identity(edge_id, clock.now_ms())
        self.commit: GroupCommit[EventId] = GroupCommit(8, 4, 60.0, 0.25)
        self._clock = clock
        self._truth = truth
        truth.known.add(edge_id)

    def click(self, number: int) -> None:
        self._observe()
        for _ in range(number):
            seq, edge_id, ts_ms = self.identity.number(), self.identity.edge_id, self.identity.ts_ms
            event = Event(edge_id, seq, ts_ms, "ad", "c", "adv", f"u{seq}", "mobile", "ok", "", "agent" * (seq % 40))
            who = (edge_id, seq)
            if not self.commit.add(encode_event(event), edge_id, seq, ts_ms, who, self._clock.monotonic_s()):
                self._truth.doubted.add(who)

    def beat(self) -> None:
        self._observe()
        self.commit.add_control(self.identity.heartbeat())

    def append(self) -> bool:
        """Make one call of the writer, if there is one to be made."""
        batch = self.commit.take_batch(self._clock.monotonic_s())
        if batch is None:
            return False
        error: LogError | None = None
        try:
            if isinstance(batch, Control):
                self.writer.append_control(batch, self._clock.now_ms())
            else:
                self.writer.append([entry.encoded for entry in batch], self._clock.now_ms())
        except LogError as raised:
            error = raised
        outcome = self.commit.finished(error, self._clock.monotonic_s())
        (self._truth.acknowledged if outcome.recorded else self._truth.doubted).update(outcome.waiters)
        return True

    def drain(self) -> None:
        self.drainer.step(self._clock.now_ms())

    def end(self) -> None:
        """End in order."""
        self.writer.close(self.identity.closing(), self._clock.now_ms())
        self._truth.ended[self.identity.edge_id] = self.identity.last_seq
        self.drainer.close(self._clock.now_ms())

    def let_go(self) -> None:
        """Give back to the system what a killed process's end gives back."""
        with contextlib.suppress(LogError):
            self.writer.close(None, 0)
        for store in (self.writer._store, *self.writer._later):
            store.close()
        self.drainer.close(0)

    def _observe(self) -> None:
        for record in self.identity.observe(self._clock.now_ms()) or ():
            self._truth.known.add(record.edge_id)
            self.commit.add_control(record)


class World:
    def __init__(self, root: Path, disk: SimulatedDisk, rnd: random.Random, workers: int) -> None:
        self.root = root
        self.disk = disk
        self.clock = Clock()
        self.log = FarLog(self.clock, rnd)
        self.truth = Truth()
        self.edges: list[Edge | None] = [None] * workers
        self.timeline: list[str] = []
        self._bytes_max = rnd.choice([30_000, 100_000, 10_000_000])
        self._starts = 0
        self._reaches_left = -1

    def note(self, what: str) -> None:
        self.timeline.append(f"{self.clock.ms}: {what}")

    def start(self, index: int) -> None:
        """Start a worker, if its disk lets it."""
        self._starts += 1
        with contextlib.suppress(LogError):
            self.edges[index] = Edge(
                self.root, f"e{self._starts}", self._bytes_max, self.log, self.clock, self.truth, self.disk.name
            )
        self.note(f"start {index} as e{self._starts}: {'it runs' if self.edges[index] else 'refused'}")

    def do(self, index: int, step: Callable[[Edge], object], what: str, writes: int | None, reaches: int) -> None:
        """Let a worker make a step, in which it is killed after so many writes, or at that many places."""
        edge = self.edges[index]
        if edge is None:
            return
        self.note(f"{index} {what}")
        self.disk.kill_after, self._reaches_left = writes, reaches
        try:
            step(edge)
        except KilledError:
            self.kill(index)
        finally:
            self.disk.kill_after, self._reaches_left, self.disk.dead = None, -1, False

    def reach(self, name: str) -> None:
        """Kill whoever reaches a place when its time has come."""
        if not name.startswith("spool."):
            return
        self._reaches_left -= 1
        if self._reaches_left == 0:
            self.note(f"killed at {name}")
            self.disk.dead = True
            raise KilledError

    def kill(self, index: int) -> None:
        edge, self.edges[index] = self.edges[index], None
        self.note(f"{index} is killed")
        if edge is not None:
            self._reaches_left = -1
            self.disk.dead = True
            edge.let_go()
            self.disk.dead = False

    def lose_power(self) -> None:
        for index in range(len(self.edges)):
            self.kill(index)
        self.disk.crash()
        self.note("power is lost")

    def settle(self) -> None:
        """Let all that is away come back, start who is dead, and bring everything to its end."""
        self.disk.full = self.disk.broken = False
        self.log.mood = "up"
        self.log.deliver()
        for index in range(len(self.edges)):
            if self.edges[index] is None:
                self.start(index)
        for _ in range(2_000):
            self.clock.advance(300)
            if not sum(self._go_on(edge) for edge in self.edges if edge is not None):
                break
        else:
            raise AssertionError(f"the spools are not empty: {[edge.writer.state for edge in self.edges if edge]}")
        for index, edge in enumerate(self.edges):
            if edge is not None:
                edge.end()
                self.edges[index] = None
        # What lives is not adopted, so the last one to start finds what all others left.
        self.start(0)
        last = self.edges[0]
        assert last is not None
        for _ in range(2_000):
            self.clock.advance(300)
            if not self._go_on(last):
                break
        last.end()

    def _go_on(self, edge: Edge) -> bool:
        appended = edge.append()
        if edge.commit.empty and edge.writer.away:
            edge.beat()
        edge.drain()
        return (
            appended
            or not edge.commit.empty
            or edge.writer.away
            or bool(edge.drainer._adopted)
            or (edge.writer.spooled_bytes > 0)
        )


@contextlib.contextmanager
def killing(world: World) -> Iterator[None]:
    """Let the world kill at the places of faultpoint."""
    before, faultpoint.on_reach = faultpoint.on_reach, world.reach
    try:
        yield
    finally:
        faultpoint.on_reach = before
