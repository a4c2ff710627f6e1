"""The counter process without its threads: the stream, its deliveries, and the janitor beside it."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from adtally.config import StreamConfig
from adtally.errors import LogError
from adtally.event import Event
from adtally.eventlog.port import Partition, Position
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.olap.port import LiveRows
from adtally.stream.port import LiveFlush
from adtally.stream.stream import Stream
from adtally.wiring import declared_readers
from support.counts import MemoryLive


class SlowNetwork:
    """Carries flushes to the store: they arrive late, twice, out of order, or not at all."""

    def __init__(self, live: MemoryLive, rnd: random.Random) -> None:
        self._live = live
        self._rnd = rnd
        self.strays: list[LiveRows] = []
        """Flushes that nobody waits for any more, and that may yet arrive."""

    def carry(self, rows: LiveRows) -> str:
        """Bring a flush to the store, or not; give its fate: ok, lost, unsure (stored, but reported as failed)."""
        fate = self._rnd.choice(["ok", "ok", "ok", "ok", "ok", "lost", "unsure", "late"])
        if fate in ("ok", "unsure"):
            self.store(rows)
        elif fate == "late":
            self.strays.append(rows)
        return fate

    def store(self, rows: LiveRows) -> None:
        self._live.append(rows)

    def arrive(self) -> None:
        """Let one of the strays reach the store."""
        self.store(self.strays.pop(self._rnd.randrange(len(self.strays))))


class SlowPump:
    """Implements Pump: a delivery ends when the scheduler says so."""

    def __init__(self, network: SlowNetwork) -> None:
        self._network = network
        self.under_way: LiveFlush | None = None
        self._ended: bool | None = None

    def start(self, flush: LiveFlush) -> None:
        assert self.under_way is None
        self.under_way = flush

    def finished(self) -> bool | None:
        ended, self._ended = self._ended, None
        return ended

    def deliver(self) -> str:
        """End the delivery that is under way."""
        assert self.under_way is not None
        fate = self._network.carry(self.under_way.rows)
        rows = len(self.under_way.rows)
        self.under_way, self._ended = None, fate == "ok"
        return f"{rows} rows: {fate}"


class SimulatedCounter:
    """Raises LogError where the disk does not let it start."""

    def __init__(self, root: Path, config: StreamConfig, network: SlowNetwork, vfs: str) -> None:
        self.network = network
        self.pump = SlowPump(network)
        self._root = root
        self._vfs = vfs
        self._reader = SqliteLogReader(root, "stream", vfs)
        self._letters = SqliteDeadLetters(root.with_name("dead_letters.db"), vfs)
        try:
            self.stream = Stream(self._reader, self._letters, self.pump, config)
        except BaseException:
            self._close()
            raise

    def step(self, now_ms: int) -> str:
        try:
            return f"counts {self.stream.step(now_ms)}"
        except LogError as error:
            return f"waits for the log: {error}"

    def tidy(self) -> str:
        """Do the janitor's work; nothing may go while a declared reader has not passed it."""
        done = checkpoint_finished(self._root, self._vfs)
        try:
            assert remove_expired(self._root, declared_readers, 1 << 62, self._vfs) == []
        except LogError as error:
            return f"{done} checkpoints, then: {error}"
        return f"{done} checkpoints"

    def kill(self) -> None:
        """End as a killed process does; what it sent may still arrive."""
        if self.pump.under_way is not None:
            self.network.strays.append(self.pump.under_way.rows)
        self._close()

    def _close(self) -> None:
        self._reader.close()
        self._letters._connection.close()


def at_rest(stream: Stream, ends: Mapping[Partition, Position]) -> bool:
    """Tell whether a stream has read, merged and delivered all that the log holds."""
    inlets = stream._inlets.values()
    read = {inlet.partition: inlet.next_read for inlet in inlets} == ends
    return read and stream.idle and not any(inlet.waiting for inlet in inlets)


def watch_order(stream: Stream) -> None:
    """See to it that a stream counts in the order (ts_ms, edge_id, seq), which holds while no clock is set back."""
    count = stream._engine.apply
    last = (0, "", 0)

    def apply(events: Sequence[Event], appended_ms: Sequence[int], log_ms: int) -> None:
        nonlocal last
        for event in events:
            key = event.ts_ms, event.edge_id, event.seq
            assert last < key, f"counted out of order: {key} behind {last}"
            last = key
        count(events, appended_ms, log_ms)

    stream._engine.apply = apply  # type: ignore[method-assign]
