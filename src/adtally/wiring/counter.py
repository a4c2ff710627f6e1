"""The counter: stream and archiver, each in a thread of its own, and checkpoints of finished segments."""

import contextlib
import gc
import random
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.errors import LogError, PositionGoneError
from adtally.eventlog.port import is_import
from adtally.folder import DataFolder
from adtally.telemetry import log
from adtally.wiring.logs import janitor
from adtally.wiring.stores import open_ledger

if TYPE_CHECKING:
    from adtally.lake.archiver import Archiver
    from adtally.stream.stream import Stream

BEAT_S: Final = 1.0
DRAIN_S_MAX: Final = 5.0
ARCHIVE_POLL_S: Final = 0.25
ARCHIVE_BEHIND_EVENTS: Final = 20_000
"""Where one reading gives so many, the next follows at once; otherwise more at a time cost less."""


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
    from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.stream.delivery import HttpLiveSink, ThreadPump
    from adtally.stream.stream import Stream

    reader = SqliteLogReader(folder.log, "stream", wanted=lambda partition: not is_import(partition))
    pump = ThreadPump(HttpLiveSink(live_url, token))
    stream = Stream(reader, SqliteDeadLetters(folder.dead_letters), pump, config.stream)
    # What lives for minutes here is strings and counters without cycles: looking for cycles in them is wasted time.
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    poll_s = config.stream.poll_ms / 1000
    pause = threading.Event()
    with janitor(folder, config), _archiving(folder, config) if archive else contextlib.nullcontext():
        on_ready()
        beaten_s, give_up_s = 0.0, float("inf")
        while True:
            now_s = SYSTEM_CLOCK.monotonic_s()
            if now_s - beaten_s >= BEAT_S:
                beaten_s = now_s
                on_beat()
            if stop.is_set():
                give_up_s = min(give_up_s, now_s + DRAIN_S_MAX)
            if _step(stream) > 0:
                continue
            if now_s >= give_up_s or (stop.is_set() and stream.idle):
                break
            pause.wait(poll_s)
    pump.close()
    reader.close()


def run_archiver_role(folder: DataFolder, config: Config, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    """Run the archiver alone until `stop` is set. Raises PositionGoneError."""
    archiver = _archiver(folder, config)
    on_ready()
    _archive_until(archiver, stop)


@contextlib.contextmanager
def _archiving(folder: DataFolder, config: Config) -> Iterator[None]:
    """Archive in a thread; at the end what was read is made durable."""
    archiver, ended = _archiver(folder, config), threading.Event()

    def archive() -> None:
        try:
            _archive_until(archiver, ended)
        except PositionGoneError as error:
            # The stream goes on. Hours stay provisional until a person has decided.
            log.error("THE ARCHIVER HAS STOPPED: no hour becomes final any more", error=str(error))

    thread = threading.Thread(target=archive, name="archiver", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _archiver(folder: DataFolder, config: Config) -> "Archiver":
    from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.lake.archiver import Archiver
    from adtally.lake.directory import DirectoryLake

    return Archiver(
        SqliteLogReader(folder.log, "archiver"),
        DirectoryLake(folder.lake),
        open_ledger(folder),
        SqliteDeadLetters(folder.dead_letters),
        config.lake,
        random.Random(),  # noqa: S311 - spreads retries in time
    )


def _archive_until(archiver: "Archiver", ended: threading.Event) -> None:
    while not ended.is_set():
        if archiver.step(SYSTEM_CLOCK.now_ms()) < ARCHIVE_BEHIND_EVENTS:
            ended.wait(ARCHIVE_POLL_S)
    archiver.close(SYSTEM_CLOCK.now_ms())


def _step(stream: "Stream") -> int:
    try:
        return stream.step(SYSTEM_CLOCK.now_ms())
    except LogError as error:
        log.error("the log cannot be read now", error=str(error))
        return 0
