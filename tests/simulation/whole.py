"""The world with all that stands behind the stream: archiver, lake, ledger, reconciler and final tables."""

import random
from pathlib import Path

import apsw
import msgspec

from adtally.errors import AdtallyError, LogError, StoreUnavailableError
from adtally.event import Closing, encode_event
from adtally.eventlog.port import IMPORTS
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.stream.port import LiveFlush
from simulation.checker import Contents
from simulation.clock import SimulatedClock, SkewedClock
from simulation.counter import SimulatedArchiver, SimulatedCounter
from simulation.edge import SimulatedEdge
from simulation.store import GRAINS, SimulatedStore, StoreConfig, Tables, at
from simulation.traffic import ChangingAds, Registry, imported
from simulation.watch import Watch
from simulation.world import Sizes, World
from support.disk import SimulatedDisk
from support.folders import SimulatedFolders
from support.memory_olap import start_of_partition

PASSES_MAX = 80
ARCHIVER_STEPS_MAX = 600
BIG = 1 << 30
HOUR_MS = 3_600_000


class WholeSizes(msgspec.Struct, frozen=True):
    """How the parts behind the stream are configured."""

    store: StoreConfig
    log_retention_ms: int
    skews_ms: tuple[int, ...]
    """How far the edges' clocks are off, by worker."""


class WholeWorld(World):
    """Everything of the embedded size, and the powers that be."""

    def __init__(
        self, root: Path, disk: SimulatedDisk, rnd: random.Random, sizes: Sizes, whole: WholeSizes, *, in_order: bool
    ) -> None:
        super().__init__(root, disk, rnd, sizes, in_order=in_order)
        self.clock = SimulatedClock(rnd, month_ends=True)
        self.whole = whole
        self.folders = SimulatedFolders(self.places.lake, disk)
        self.tables = Tables(disk.alive)
        self.registry = Registry(rnd)
        self.store: SimulatedStore | None = None
        self.read = Contents.empty()
        """What the log once held, kept for the checker when retention removes it."""
        self.watch = Watch(self.tables)
        self._imports = 0

    def make_edge(self, index: int) -> SimulatedEdge:
        clock = SkewedClock(self.clock, self.whole.skews_ms[index % len(self.whole.skews_ms)])
        ads = ChangingAds(self.registry)
        return SimulatedEdge(self.log_root, index, self.sizes.limits, clock, self.truth, self.disk.name, ads)

    def make_counter(self) -> SimulatedCounter:
        rnd = random.Random(self.rnd.random())

        def archive() -> SimulatedArchiver:
            return SimulatedArchiver(self.places, self.whole.store.lake, rnd, self.disk.name)

        return SimulatedCounter(self.places, self.sizes.stream, self.network, self.disk.name, archive)

    def take(self, flush: LiveFlush) -> None:
        if self.store is None:
            raise StoreUnavailableError("the store does not run")
        self.store.take(flush)
        self.live.append(flush.rows)

    def start_store(self) -> None:
        """Start the store process, which does not run."""
        try:
            self.store = SimulatedStore(self.places, self.tables, self.clock, self.whole.store)
        except AdtallyError as error:
            self.note("store", f"does not start: {error}")
            return
        self.note("store", "starts")
        # What the one before it left, readers see until the next pass.
        self.look()

    def archiver_steps(self) -> str:
        """Let the archiver do what is due."""
        assert self.counter is not None
        assert self.counter.archiver is not None
        return self.counter.archiver.step(self.clock.now_ms())

    def store_steps(self) -> str:
        """Let the reconciler do what is due, and look at what readers see then."""
        assert self.store is not None
        told = self.store.step()
        self.look()
        return told

    def look(self) -> None:
        """See to it that what readers see now keeps the promises."""
        if self.store is not None and not self.disk.full and not self.disk.broken:
            self.watch.look(self.store.ledger)

    def tidy(self) -> str:
        """Let the janitor work; what it may remove is kept for the checker first."""
        assert self.counter is not None
        kill_after, self.disk.kill_after = self.disk.kill_after, None
        try:
            self.read = self.contents()
        except (LogError, apsw.Error) as error:
            return f"is not let: {error}"
        finally:
            self.disk.kill_after = kill_after
        return self.counter.tidy(self.clock.now_ms() - self.whole.log_retention_ms)

    def kill_store(self) -> None:
        """Kill the store process; its tables stay."""
        store, self.store = self.store, None
        self.bury(store)
        self.note("store", "is killed")

    def lose_power(self) -> None:
        self.bury(self.store)
        self.store = None
        super().lose_power()
        self.folders.crash()

    def stop(self) -> None:
        if self.counter is not None and self.counter.archiver is not None:
            self.note("archiver", self.counter.archiver.close(self.clock.now_ms()))
        if self.store is not None:
            self.kill_store()
        super().stop()

    def lose_partition(self) -> None:
        """Let the store lose a published partition: what the ledger says is not what it holds then."""
        grain = self.rnd.choice(GRAINS)
        starts = sorted(span.start_ms for span in self.tables.held(grain))
        if starts:
            start_ms = start_of_partition(grain, self.rnd.choice(starts) // 1000) * 1000
            self.tables.lose(grain, start_ms)
            self.watch.lost |= {
                (grain, ms) for ms in starts if start_of_partition(grain, ms // 1000) * 1000 == start_ms
            }
            self.note("store", f"loses {grain} {at(start_ms)}")
            # It is noticed at the next start, or within a day.
            if self.store is not None:
                self.kill_store()

    def import_history(self) -> None:
        """Bring clicks of the past into the log, as an import does; whether it comes to its end or not."""
        self._imports += 1
        edge_id, now_ms = f"import-{self._imports:08d}", self.clock.now_ms()
        events = imported(self.rnd, edge_id, now_ms)
        encoded = [encode_event(event) for event in events]
        self.truth.sent |= {(event.edge_id, event.seq): line for event, line in zip(events, encoded, strict=True)}
        kept = "nothing"
        try:
            writer = SqliteLogWriter.open(self.log_root, IMPORTS, edge_id, now_ms, BIG, vfs=self.disk.name)
        except LogError as error:
            self.note("import", f"does not start: {error}")
            return
        try:
            writer.append(encoded, now_ms)
            self.truth.acknowledged |= {(event.edge_id, event.seq) for event in events}
            kept = f"{len(events)} clicks from {at(events[0].ts_ms)} on"
            writer.close(Closing(edge_id, len(events), now_ms, retired=True), now_ms)
        except LogError as error:
            kept += f", then: {error}"
            writer.close(None, now_ms)
        self.note("import", kept)

    def settle(self) -> None:
        """Bring everything to rest, and then wait until every hour is final."""
        self.network.parted, self.tables.fail_after = False, None
        if not self.up:
            self.disk.failing = False
            self.start(1)
        if self.store is None:
            self.disk.failing = False
            self.start_store()
        # So long all edges' clocks take to show what the latest one has shown.
        self.clock.go_beyond(max(self.whole.skews_ms) - min(self.whole.skews_ms))
        super().settle()
        self._archive_all()
        self.look()
        self.clock.go_beyond(HOUR_MS)
        for number in range(PASSES_MAX):
            self._beat()
            if self._is_final() and number > 1:
                break
            # Two hours more from time to time, so that what is finished is merged, too.
            self.clock.advance(2 * HOUR_MS if number % 20 == 2 else self.whole.store.reconcile.every_ms + 60_000)
        else:
            raise AssertionError(f"not everything becomes final: {self.timeline.end(1)}")
        self.kill_store()
        self.start_store()
        self.note("store", self.store_steps())

    def _beat(self) -> None:
        assert self.counter is not None
        assert self.store is not None
        for edge in self.running():
            edge.heartbeat()
            while edge.work():
                pass
        for _ in range(3):
            self.note("counter", self.counter.step(self.clock.now_ms()))
            if self.counter.pump.under_way is not None:
                self.note("counter", f"delivers {self.counter.pump.deliver()}")
            self.clock.advance(self.sizes.stream.flush_ms)
        self._archive_all()
        self.note("store", self.store_steps())

    def _archive_all(self) -> None:
        assert self.counter is not None
        assert self.counter.archiver is not None
        ends = self.ends()
        passed = False
        for _ in range(ARCHIVER_STEPS_MAX):
            self.note("archiver", self.archiver_steps())
            if passed:
                return
            passed = self.counter.archiver.has_passed(ends)
            self.clock.advance(self.whole.store.lake.flush_ms)
        raise AssertionError("the archiver does not come to rest")

    def _is_final(self) -> bool:
        """Tell whether the newest pass found nothing to do, and every hour with an event is behind it."""
        assert self.store is not None
        regular = self.store.book.last_pass()
        if regular is None or regular.report is None or regular.failed is not None:
            return False
        report = regular.report
        last_ms = max((each.event.ts_ms for each in self.contents().events), default=0)
        done = last_ms // HOUR_MS * HOUR_MS + HOUR_MS <= report.complete_through_ms
        return done and not report.lines and not report.spans and not report.failures

    @property
    def cut(self) -> bool:
        """Whether the log's beginning is gone by retention."""
        return self.contents().begins_before(Contents(self.log_root, self.disk.name))

    def contents(self) -> Contents:
        """Give what the log holds and held."""
        return self.read.joined(Contents(self.log_root, self.disk.name))
