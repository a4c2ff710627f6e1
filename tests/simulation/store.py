"""The store process without its threads: live rows come in, hours are recounted and published."""

from collections.abc import Callable, Sequence

import msgspec

from adtally.clock import Clock
from adtally.config import LakeConfig, ReconcileConfig
from adtally.counting import COUNTING_VERSION
from adtally.errors import StoreUnavailableError
from adtally.event import VERDICTS
from adtally.lake.directory import DirectoryLake
from adtally.ledger.port import Rules
from adtally.ledger.sql import SqlLedger
from adtally.olap.port import Grain, LiveRows, Span
from adtally.reconcile.loop import ReconcileLoop
from adtally.reconcile.passes import PassReport, Wanted
from adtally.reconcile.reconciler import Parts, Reconciler
from adtally.reconcile.requests import Desk, MemoryRequests, RegularPass
from adtally.serve.progress import Progress
from adtally.stream.port import LiveFlush
from adtally.utc import FOREVER_MS
from simulation.places import Places
from support.apsw_dbapi import close_all
from support.memory_olap import Cells, Key, MemoryOlap, start_of_partition
from support.plain_recount import PlainRecounter

GRAINS: tuple[Grain, ...] = ("minute", "quarter_hour", "day", "month")


class Tables(MemoryOlap):
    """The store's tables, which outlive its process. Partitions change one after the other; calls can fail anywhere."""

    def __init__(self, alive: Callable[[], bool]) -> None:
        super().__init__()
        self._alive = alive
        self.fail_after: int | None = None
        """The store does not answer any more after so many more steps; None if it always does."""

    def append_live(self, rows: LiveRows) -> None:
        self._step()
        super().append_live(rows)

    def drop_live_before(self, ts_ms: int) -> None:
        self._step()
        super().drop_live_before(ts_ms)

    def stage(self, files: Sequence[str]) -> None:
        self._step()
        self.staged = {}
        self._step()
        super().stage(files)

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        self._step()
        return super().spans(grain, start_ms, end_ms)

    def held(self, grain: Grain) -> list[Span]:
        """Give what a final table holds, whether it answers or not."""
        return super().spans(grain, 0, FOREVER_MS)

    def lose(self, grain: Grain, start_ms: int) -> None:
        """Forget a published partition, as a disk that was exchanged does."""
        self.final[grain] = {k: c for k, c in self.final[grain].items() if partition_of(grain, k) != start_ms}

    def _replace(self, grain: Grain, gone: Callable[[Key], bool], cells: Cells) -> None:
        new = {key: cell for key, cell in self.final[grain].items() if not gone(key)} | cells
        for start_ms in sorted({partition_of(grain, key) for key in self.final[grain].keys() | new.keys()}):
            there = {key: cell for key, cell in self.final[grain].items() if partition_of(grain, key) == start_ms}
            wanted = {key: cell for key, cell in new.items() if partition_of(grain, key) == start_ms}
            if there != wanted:
                self._step()
                self.lose(grain, start_ms)
                self.final[grain] = self.final[grain] | wanted
        self._step()

    def _step(self) -> None:
        self._alive()
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                raise StoreUnavailableError("the simulated store does not answer")


def partition_of(grain: Grain, key: Key) -> int:
    return start_of_partition(grain, key.time_s) * 1000


class StoreConfig(msgspec.Struct, frozen=True):
    """How the store process is configured."""

    lake: LakeConfig
    reconcile: ReconcileConfig
    dedup_window_ms: int
    lateness_ms: int

    @property
    def rules(self) -> Rules:
        return Rules(self.dedup_window_ms, self.lateness_ms, VERDICTS, COUNTING_VERSION)


class SimulatedStore:
    """Raises LakeError, DataFolderError and StoreUnavailableError where the disk does not let it start."""

    def __init__(self, places: Places, tables: Tables, clock: Clock, config: StoreConfig) -> None:
        self.tables = tables
        self.progress = Progress()
        self.ledger = SqlLedger.open(places.ledger)
        self._clock = clock
        try:
            self.lake = DirectoryLake(places.lake)
            self.book = MemoryRequests()
            self.desk = Desk(self.book, self.ledger, clock)
            parts = Parts(
                self.lake, self.ledger, tables, tables, PlainRecounter(), clock, self._counted_ms,
                places.recount,
            )  # fmt: skip
            self.reconciler = Reconciler(parts, config.reconcile, config.lake, config.rules)
            self.loop = ReconcileLoop(self.reconciler, self.book, self.ledger, config.reconcile)
        except BaseException:
            close_all(self.ledger._database._engine)
            raise

    def take(self, flush: LiveFlush) -> None:
        """Take a delivery of the stream's. Raises StoreUnavailableError."""
        self.tables.append_live(flush.rows)
        self.progress.update(flush.report)

    def step(self) -> str:
        """Make the pass that is due now, if any."""
        before = self.book.last_pass()
        try:
            self.loop.step(self._clock.now_ms())
        except StoreUnavailableError as error:
            return f"waits: {error}"
        after = self.book.last_pass()
        return "nothing is due" if after is before or after is None else told(after)

    def ask(self, wanted: Wanted) -> str:
        """Ask for a pass."""
        try:
            return f"is asked for {self.desk.request(wanted).wanted}"
        except StoreUnavailableError as error:
            return f"cannot be asked: {error}"

    def kill(self) -> None:
        """End as a killed process does."""
        close_all(self.ledger._database._engine)

    def _counted_ms(self) -> int:
        return self.progress.as_of_ms or 0


def told(regular: RegularPass) -> str:
    """Give what a pass did in a line."""
    if regular.failed is not None:
        return f"its pass fails: {regular.failed}"
    assert regular.report is not None
    return summary(regular.report)


def summary(report: PassReport) -> str:
    lines = " ".join(f"{at(line.hour_ms)}={line.state}.{line.revision}" for line in report.lines)
    again = " ".join(map(at, report.republished))
    spans = " ".join(f"{span.grain}:{span.events}" for span in report.spans)
    through = f"complete through {at(report.complete_through_ms)}" if report.complete_through_ms > 0 else "nothing yet"
    return f"passes: [{lines}] again [{again}] [{spans}] {' '.join(report.failures)} {through}, {report.waits}"


def at(ms: int) -> str:
    """Give an hour in short: its number since the epoch's begin, modulo a hundred, and minutes."""
    return f"{ms // 3_600_000 % 100}h{ms // 60_000 % 60:02}"
