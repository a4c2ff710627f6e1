"""The counter process without its threads: the stream and its deliveries, the archiver, and the janitor beside them."""

import random
from collections.abc import Callable, Mapping, Sequence

from adtally.config import LakeConfig, StreamConfig
from adtally.errors import LogError, PositionGoneError, StoreUnavailableError
from adtally.event import Event
from adtally.eventlog.port import Partition, Position, is_import
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.lake.archiver import Archiver
from adtally.lake.directory import DirectoryLake
from adtally.ledger.sql import SqlLedger
from adtally.stream.port import LiveFlush
from adtally.stream.stream import Stream
from adtally.wiring import declared_readers
from simulation.places import Places
from support.apsw_dbapi import close_all


class SlowNetwork:
    """Carries flushes to the store: they arrive late, twice, out of order, or not at all.

    `take` is the store's end; it raises StoreUnavailableError where nobody takes them.
    """

    def __init__(self, take: Callable[[LiveFlush], None], rnd: random.Random) -> None:
        self._take = take
        self._rnd = rnd
        self.parted = False
        """Nothing gets through while this is set."""
        self.strays: list[LiveFlush] = []
        """Flushes that nobody waits for any more, and that may yet arrive."""

    def carry(self, flush: LiveFlush) -> str:
        """Bring a flush to the store, or not; give its fate: ok, lost, unsure (stored, but reported as failed)."""
        fate = self._rnd.choice(["ok", "ok", "ok", "ok", "ok", "lost", "unsure", "late"])
        if fate in ("ok", "unsure") and not self.store(flush):
            return "lost"
        if fate == "late":
            self.strays.append(flush)
        return fate

    def store(self, flush: LiveFlush) -> bool:
        """Let a flush reach the store; False where it does not."""
        if self.parted:
            return False
        try:
            self._take(flush)
        except StoreUnavailableError:
            return False
        return True

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
        fate = self._network.carry(self.under_way)
        rows = len(self.under_way.rows)
        self.under_way, self._ended = None, fate == "ok"
        return f"{rows} rows: {fate}"


class SimulatedArchiver:
    """Raises LogError, LakeError, DataFolderError and StoreUnavailableError where the disk does not let it start."""

    def __init__(self, places: Places, config: LakeConfig, rnd: random.Random, vfs: str) -> None:
        self.ledger = SqlLedger.open(places.ledger)
        self._reader = SqliteLogReader(places.log, "archiver", vfs)
        self._letters: SqliteDeadLetters | None = None
        try:
            self._letters = SqliteDeadLetters(places.letters, vfs)
            lake = DirectoryLake(places.lake)
            self._archiver = Archiver(self._reader, lake, self.ledger, self._letters, config, rnd)
        except BaseException:
            self.kill()
            raise

    def step(self, now_ms: int) -> str:
        flushes = self._archiver.report().flushes
        try:
            events = self._archiver.step(now_ms)
        except PositionGoneError:
            raise
        except LogError as error:
            return f"waits for the log: {error}"
        report = self._archiver.report()
        trouble = f", trouble: {report.trouble}" if report.trouble else ""
        return f"reads {events}, {'flushed' if report.flushes > flushes else 'not flushed'}{trouble}"

    def close(self, now_ms: int) -> str:
        """Stop in order."""
        return "makes durable what it read" if self._archiver.close(now_ms) else "cannot make durable what it read"

    def has_passed(self, ends: Mapping[Partition, Position]) -> bool:
        """Tell whether all that the log holds is in the lake."""
        report = self._archiver.report()
        return {each.partition: each.position for each in report.partitions} == ends

    def kill(self) -> None:
        """End as a killed process does."""
        close_all(self.ledger._database._engine)
        self._reader.close()
        if self._letters is not None:
            self._letters._connection.close()


class SimulatedCounter:
    """Raises LogError where the disk does not let it start, and what the archiver raises."""

    def __init__(
        self,
        places: Places,
        config: StreamConfig,
        network: SlowNetwork,
        vfs: str,
        archive: Callable[[], SimulatedArchiver] | None = None,
    ) -> None:
        self.network = network
        self.pump = SlowPump(network)
        self._root = places.log
        self._vfs = vfs
        self._reader = SqliteLogReader(places.log, "stream", vfs, lambda partition: not is_import(partition))
        self._letters = SqliteDeadLetters(places.letters, vfs)
        self.archiver: SimulatedArchiver | None = None
        try:
            self.stream = Stream(self._reader, self._letters, self.pump, config)
            self.archiver = None if archive is None else archive()
        except BaseException:
            self._close()
            raise

    def step(self, now_ms: int) -> str:
        try:
            return f"counts {self.stream.step(now_ms)}"
        except PositionGoneError:
            raise
        except LogError as error:
            return f"waits for the log: {error}"

    def tidy(self, before_ms: int = 1 << 62) -> str:
        """Do the janitor's work; nothing may go while a declared reader has not passed it."""
        done = checkpoint_finished(self._root, self._vfs)
        try:
            removed = remove_expired(self._root, declared_readers, before_ms, self._vfs)
        except LogError as error:
            return f"{done} checkpoints, then: {error}"
        assert self.archiver is not None or not removed, "something is removed that the archiver has never read"
        return f"{done} checkpoints, {len(removed)} segments removed"

    def kill(self) -> None:
        """End as a killed process does; what it sent may still arrive."""
        if self.pump.under_way is not None:
            self.network.strays.append(self.pump.under_way)
        self._close()

    def _close(self) -> None:
        self._reader.close()
        self._letters._connection.close()
        if self.archiver is not None:
            self.archiver.kill()


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
