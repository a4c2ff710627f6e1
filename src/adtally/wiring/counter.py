"""The counter: stream and archiver, each in a thread of its own, and checkpoints of finished segments."""

import contextlib
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.errors import LogError, PositionGoneError
from adtally.eventlog.port import CONTROLS, Partition, is_import, is_shared, shard_number
from adtally.folder import DataFolder
from adtally.telemetry import log
from adtally.utc import HOUR_MS
from adtally.wiring.collector import look_for_cycles_less_often
from adtally.wiring.logs import janitor, open_reader
from adtally.wiring.seen import Seen, metrics_shown
from adtally.wiring.stores import open_dead_letters, open_lake, open_ledger, open_ledger_database, open_store
from adtally.wiring.threads import beside

if TYPE_CHECKING:
    from adtally.lake.archiver import Archiver
    from adtally.stream.port import StreamReport

BEAT_S: Final = 1.0
DRAIN_S_MAX: Final = 5.0
ARCHIVE_POLL_S: Final = 0.25
ARCHIVE_BEHIND_EVENTS: Final = 20_000
"""Where one reading gives so many, the next follows at once; otherwise more at a time cost less."""


class _Stepping(Protocol):
    """A stream, of either kind."""

    def step(self, now_ms: int) -> int:
        """Do what can be done now; give the number of events. Raises LogError."""
        ...

    def report(self, now_ms: int) -> "StreamReport":
        """Give how far it has come."""
        ...

    @property
    def idle(self) -> bool:
        """True if everything that was counted is in the store."""
        ...


def run_counter_role(
    folder: DataFolder,
    config: Config,
    live_url: str,
    token: str,
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
    *,
    archive: bool = True,
) -> None:
    """Run the stream until `stop` is set; then count what the log holds, deliver it, and end.

    Beside it, unless told otherwise, runs the archiver, which is much idle.
    """
    from adtally.stream.delivery import HttpLiveSink, ThreadPump
    from adtally.stream.stream import Stream

    reader = open_reader(folder, config, "stream", lambda partition: not is_import(partition))
    pump = ThreadPump(HttpLiveSink(live_url, token))
    stream = Stream(reader, open_dead_letters(folder, config), pump, config.stream)
    seen = Seen("stream")
    with (
        janitor(folder, config),
        _archiving(folder, config, seen) if archive else contextlib.nullcontext(),
        metrics_shown(folder, config, "counter" if archive else "stream", seen),
    ):
        on_ready()
        try:
            _count_until(stream, config, stop, on_beat, seen)
        except PositionGoneError as error:
            # The archiver goes on: what is in the lake will be counted.
            seen.stopped.add("stream")
            log.error("THE STREAM HAS STOPPED: nothing is counted live any more", error=str(error))
            while not stop.wait(BEAT_S):
                on_beat()
    pump.close()
    reader.close()


def run_stream_role(
    folder: DataFolder,
    config: Config,
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
) -> None:
    """Count partitions of a shared log straight into a store that others use too, until `stop` is set.

    Where Flink counts, look after its job. Raises LogError and StoreUnavailableError for who is away at the start.
    """
    if config.stream.engine == "flink":
        from adtally.stream.flink.role import run_flink_watch

        with metrics_shown(folder, config, "stream", Seen()):
            run_flink_watch(config, stop, on_ready, on_beat)
        return
    from adtally.ledger.board import SqlReportBoard
    from adtally.stream.delivery import ThreadPump, WriterSink
    from adtally.stream.partitioned import PartitionedStream

    database = open_ledger_database(config)
    store = open_store(folder, config)
    reader = open_reader(folder, config, "stream", lambda each: each == CONTROLS or is_shared(each))
    pump = ThreadPump(WriterSink(store, SqlReportBoard(database)))
    ledger = open_ledger(folder, config)
    bounds = ledger.bounds()
    # Hours get their lines in order, so those behind the last line are open.
    open_since_ms = 0 if bounds is None else bounds[1] + HOUR_MS
    ledger.close()
    stream = PartitionedStream(reader, open_dead_letters(folder, config), pump, config.stream, open_since_ms)
    seen = Seen("stream")
    with metrics_shown(folder, config, "stream", seen):
        on_ready()
        _count_until(stream, config, stop, on_beat, seen)
    pump.close()
    reader.close()
    store.close()
    database.close()


def run_loader_role(
    folder: DataFolder,
    config: Config,
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
) -> None:
    """Load the rows of Flink's job into the store until `stop` is set. Raises PositionGoneError and LogError."""
    from adtally.errors import StoreUnavailableError
    from adtally.ledger.board import SqlReportBoard
    from adtally.stream.flink.role import run_flink_loader
    from adtally.stream.port import StreamReport

    database = open_ledger_database(config)
    board, store = SqlReportBoard(database), open_store(folder, config)

    seen = Seen("loader")

    def note(report: StreamReport) -> None:
        seen.as_of_ms["loader"] = report.as_of_ms
        try:
            board.note(report)
        except StoreUnavailableError as error:
            log.warning("how far the loader has come could not be noted", error=str(error))

    controls = open_reader(folder, config, "loader", lambda partition: partition == CONTROLS)
    with metrics_shown(folder, config, "loader", seen):
        run_flink_loader(config, store, controls, note, stop, on_ready, on_beat)
    controls.close()
    store.close()
    database.close()


def run_archiver_role(folder: DataFolder, config: Config, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    """Run the archiver alone until `stop` is set. Raises PositionGoneError."""
    archiver, seen = _archiver(folder, config), Seen()
    with metrics_shown(folder, config, "archiver", seen):
        on_ready()
        _archive_until(archiver, stop, seen)


def _archiving(folder: DataFolder, config: Config, seen: Seen) -> contextlib.AbstractContextManager[None]:
    """Archive in a thread; at the end what was read is made durable."""
    archiver = _archiver(folder, config)

    def archive(ended: threading.Event) -> None:
        try:
            _archive_until(archiver, ended, seen)
        except PositionGoneError as error:
            seen.stopped.add("archiver")
            # The stream goes on. Hours stay provisional until a person has decided.
            log.error("THE ARCHIVER HAS STOPPED: no hour becomes final any more", error=str(error))

    return beside("archiver", archive)


def _archiver(folder: DataFolder, config: Config) -> "Archiver":
    from adtally.lake.archiver import Archiver

    return Archiver(
        open_reader(folder, config, "archiver"),
        open_lake(folder, config),
        open_ledger(folder, config),
        open_dead_letters(folder, config),
        config.lake,
        random.Random(),  # noqa: S311 - spreads retries in time
        lambda partition: archived_here(partition, config.lake.partitions),
    )


def archived_here(partition: Partition, numbers: tuple[int, ...]) -> bool:
    """Tell whether the archiver that takes the shared partitions of these numbers takes this one.

    Without numbers it takes all; with 0 among them, also all partitions that have no number.
    """
    number = shard_number(partition)
    return not numbers or (0 if number is None else number) in numbers


def _archive_until(archiver: "Archiver", ended: threading.Event, seen: Seen) -> None:
    seen_s = float("-inf")
    while not ended.is_set():
        try:
            events = archiver.step(SYSTEM_CLOCK.now_ms())
        except PositionGoneError:
            raise
        except LogError as error:
            log.error("the log cannot be read now", error=str(error))
            events = 0
        if SYSTEM_CLOCK.monotonic_s() - seen_s >= BEAT_S:
            seen_s = SYSTEM_CLOCK.monotonic_s()
            seen.archiver = archiver.report()
        if events < ARCHIVE_BEHIND_EVENTS:
            ended.wait(ARCHIVE_POLL_S)
    archiver.close(SYSTEM_CLOCK.now_ms())


def _count_until(
    stream: _Stepping, config: Config, stop: threading.Event, on_beat: Callable[[], None], seen: Seen
) -> None:
    """Advance a stream until `stop` is set, and then until all that the log holds is delivered, but not for ever."""
    look_for_cycles_less_often()
    poll_s = config.stream.poll_ms / 1000
    pause = threading.Event()
    beaten_s, give_up_s = 0.0, float("inf")
    while True:
        now_s = SYSTEM_CLOCK.monotonic_s()
        if now_s - beaten_s >= BEAT_S:
            beaten_s = now_s
            seen.as_of_ms["stream"] = stream.report(SYSTEM_CLOCK.now_ms()).as_of_ms
            on_beat()
        if stop.is_set():
            give_up_s = min(give_up_s, now_s + DRAIN_S_MAX)
        if _step(stream) > 0:
            continue
        if now_s >= give_up_s or (stop.is_set() and stream.idle):
            break
        pause.wait(poll_s)


def _step(stream: _Stepping) -> int:
    try:
        return stream.step(SYSTEM_CLOCK.now_ms())
    except PositionGoneError:
        raise
    except LogError as error:
        log.error("the log cannot be read now", error=str(error))
        return 0
