"""Builds each role out of its adapters: the only file that knows both, and the only one that knows the system's size.

Adapters are imported inside the functions, so that a process loads only what its role needs.
"""

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, set_for_children
from adtally.edge.identity import new_edge_id
from adtally.errors import AdtallyError, LogError
from adtally.eventlog.port import IMPORTS, REPLAYED_LETTERS, Partition, is_import
from adtally.folder import DataFolder
from adtally.telemetry import log

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

    from adtally.history.files import FileIdentity
    from adtally.history.importing import HistoryImport
    from adtally.history.letters import LetterDesk
    from adtally.ledger.sql import SqlLedger
    from adtally.registry.port import Registry
    from adtally.stream.stream import Stream

BEAT_S: Final = 1.0
JANITOR_EVERY_S: Final = 5.0
DRAIN_S_MAX: Final = 5.0
_DAY_MS: Final = 86_400_000


def edge_partition(index: int) -> Partition:
    """Give the log partition of an edge worker."""
    return Partition(f"edge-{index}")


def declared_readers(partition: Partition) -> tuple[str, ...]:
    """Give the readers of a partition: nothing is removed from the log that one of them has not passed."""
    # The archiver does not exist yet: so, nothing is removed.
    return ("archiver",) if is_import(partition) else ("archiver", "stream")


def open_registry(folder: DataFolder) -> "Registry":
    """Open the registry of a data folder, made where it is not there yet. Raises DataFolderError."""
    from adtally.registry.sql import SqlRegistry

    return SqlRegistry.open(folder.registry)


def open_ledger(folder: DataFolder) -> "SqlLedger":
    """Open the ledger of a data folder, made where it is not there yet. Raises DataFolderError."""
    from adtally.ledger.sql import SqlLedger

    return SqlLedger.open(folder.ledger)


def prepare_logs(folder: DataFolder, workers: int) -> None:
    """Tell the log's readers, before anything starts, which workers there will be. Raises LogError.

    A reader then waits for all of them and for no others from its first look on, so that the merged order cannot depend
    on who started first.
    """
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.eventlog.sqlite.writer import SqliteLogWriter

    now_ms = SYSTEM_CLOCK.now_ms()
    folder.log.mkdir(parents=True, exist_ok=True)
    expected = [edge_partition(index) for index in range(workers)]
    for partition in expected:
        SqliteLogWriter.expect(folder.log, partition, new_edge_id(), now_ms)
    for partition in SqliteLogReader(folder.log, "supervisor").partitions():
        # Nobody waits for an import, and one may be running.
        if partition not in expected and not is_import(partition):
            SqliteLogWriter.retire(folder.log, partition, now_ms)


@contextlib.contextmanager
def open_history_import(folder: DataFolder, config: Config, identity: "FileIdentity") -> "Iterator[HistoryImport]":
    """Open the import of one file, which no other import can run beside; at its end it is closed in the log.

    Raises LogError if another one goes on, and DataFolderError.
    """
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.eventlog.sqlite.writer import SqliteLogWriter
    from adtally.history.held import read_held
    from adtally.history.importing import HistoryImport
    from adtally.history.judging import HistoryJudge
    from adtally.registry.replica import SqliteAdReplica

    with contextlib.ExitStack() as stack:
        # Who reads the registry's file alone needs somebody who keeps its write-ahead log open.
        stack.callback(open_registry(folder).close)
        replica = SqliteAdReplica(folder.registry)
        stack.callback(replica.close)
        reader = SqliteLogReader(folder.log, "import")
        stack.callback(reader.close)
        folder.log.mkdir(parents=True, exist_ok=True)
        now_ms = SYSTEM_CLOCK.now_ms()
        writer = SqliteLogWriter.open(folder.log, IMPORTS, identity.edge_id, now_ms, config.log.segment_bytes)
        # Where an import breaks off, the partition's next writer closes it.
        stack.callback(writer.close, None, now_ms)
        held = read_held(reader, IMPORTS, identity.edge_id)
        judge = HistoryJudge(replica, identity, config.edge.counted_agents)
        history = HistoryImport(identity, judge, writer, held, SYSTEM_CLOCK)
        yield history
        now_ms = SYSTEM_CLOCK.now_ms()
        writer.close(history.closing_record(now_ms), now_ms)


def open_letters(folder: DataFolder, config: Config) -> "LetterDesk":
    """Open the dead letters of a data folder. Raises LogError."""
    from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
    from adtally.eventlog.sqlite.writer import SqliteLogWriter
    from adtally.history.letters import LetterDesk

    def open_writer(edge_id: str, now_ms: int) -> SqliteLogWriter:
        folder.log.mkdir(parents=True, exist_ok=True)
        return SqliteLogWriter.open(folder.log, REPLAYED_LETTERS, edge_id, now_ms, config.log.segment_bytes)

    return LetterDesk(SqliteDeadLetters(folder.dead_letters), open_writer)


async def run_edge_role(
    folder: DataFolder,
    config: Config,
    index: int,
    sock: socket.socket,
    stop: asyncio.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
) -> None:
    """Run one edge worker on a listening socket until `stop` is set."""
    set_for_children("PROMETHEUS_MULTIPROC_DIR", str(folder.run / "metrics"))
    from adtally.edge.worker import run_edge
    from adtally.eventlog.sqlite.writer import SqliteLogWriter
    from adtally.registry.replica import SqliteAdReplica

    edge_id = new_edge_id()
    now_ms = SYSTEM_CLOCK.now_ms()
    writer = SqliteLogWriter.open(folder.log, edge_partition(index), edge_id, now_ms, config.log.segment_bytes)
    replica = SqliteAdReplica(folder.registry)
    gc.freeze()
    await run_edge(config.edge, replica, writer, edge_id, SYSTEM_CLOCK, sock, stop, on_ready, on_beat)


def run_counter_role(
    folder: DataFolder,
    config: Config,
    live_url: str,
    token: str,
    stop: threading.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
) -> None:
    """Run the stream until `stop` is set; then count what the log holds, deliver it, and end."""
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
    with _janitor(folder, config):
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


async def run_store_role(
    folder: DataFolder,
    config: Config,
    sock: socket.socket,
    intake_sock: socket.socket,
    token: str,
    click_url: str,
    stop: asyncio.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
) -> None:
    """Run the one owner of chDB: the API, and the intake of live rows, until `stop` is set."""
    from adtally.olap.chdb import ChdbStore
    from adtally.serve.app import Services, build_app
    from adtally.serve.intake import build_intake
    from adtally.serve.progress import Progress

    store = ChdbStore(folder.olap, config.olap.memory_bytes_max)
    store.migrate()
    progress = Progress()
    registry = open_registry(folder)
    ledger = open_ledger(folder)
    services = Services(
        reader=store,
        registry=registry,
        ledger=ledger,
        clock=SYSTEM_CLOCK,
        config=config.serve,
        progress=progress,
        ready=lambda: _reasons(store.ping, registry.ping, ledger.ping),
        reconcile=config.reconcile,
        letters=open_letters(folder, config),
        click_url=click_url,
    )
    servers = [_server(build_app(services)), _server(build_intake(store, progress, token))]
    tasks = [
        asyncio.create_task(server.serve(sockets=[s])) for server, s in zip(servers, (sock, intake_sock), strict=True)
    ]
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn offers no event for this
        await asyncio.sleep(0.01)
    on_ready()
    while not stop.is_set():
        on_beat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BEAT_S)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)
    services.letters.close()
    ledger.close()
    store.close()


def _reasons(*pings: Callable[[], None]) -> list[str]:
    """Give the reasons why a store does not answer."""
    reasons = []
    for ping in pings:
        try:
            ping()
        except AdtallyError as error:
            reasons.append(str(error))
    return reasons


def _step(stream: "Stream") -> int:
    try:
        return stream.step(SYSTEM_CLOCK.now_ms())
    except LogError as error:
        log.error("the log cannot be read now", error=str(error))
        return 0


@contextlib.contextmanager
def _janitor(folder: DataFolder, config: Config) -> Iterator[None]:
    """Checkpoint and retire finished segments, beside whatever goes on."""
    from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired

    ended = threading.Event()

    def tidy() -> None:
        while not ended.wait(JANITOR_EVERY_S):
            try:
                checkpoint_finished(folder.log)
                before_ms = SYSTEM_CLOCK.now_ms() - config.log.retention_days * _DAY_MS
                remove_expired(folder.log, declared_readers, before_ms)
            except (LogError, OSError) as error:
                log.error("finished segments were not tidied", error=str(error))

    thread = threading.Thread(target=tidy, name="janitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _server(app: "Starlette") -> "uvicorn.Server":
    import uvicorn

    class Server(uvicorn.Server):
        """A server whose process handles the signals itself."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave the signals alone."""
            yield

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="auto",
        timeout_graceful_shutdown=5,
        ws="none",
        server_header=False,
    )
    return Server(config)
