"""The API and the reconciler: in one process with the store that it owns, or each by itself over servers."""

import asyncio
import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.counting import COUNTING_VERSION
from adtally.errors import StoreUnavailableError
from adtally.event import VERDICTS
from adtally.faultpoint import reach
from adtally.folder import DataFolder
from adtally.ledger.port import Rules
from adtally.telemetry import log
from adtally.utc import FOREVER_MS
from adtally.wiring.collector import look_for_cycles_less_often
from adtally.wiring.logs import open_letters
from adtally.wiring.seen import Seen, metrics_shown
from adtally.wiring.stores import (
    Wholeness,
    open_cache,
    open_lake,
    open_ledger,
    open_ledger_database,
    open_recounter,
    open_registry,
    open_sessions,
    open_store,
    reasons_of,
)

if TYPE_CHECKING:
    from adtally.ledger.port import Ledger
    from adtally.olap.chdb import ChdbStore
    from adtally.olap.clickhouse import ClickHouseStore
    from adtally.reconcile.passes import PassReport
    from adtally.reconcile.port import Recounter
    from adtally.reconcile.reconciler import Parts
    from adtally.reconcile.reconciler import Progress as PassProgress
    from adtally.reconcile.requests import RequestBook
    from adtally.serve.link import LinkSpec
    from adtally.serve.progress import Progress
    from adtally.serve.services import Services
    from adtally.wiring.server import Server

BEAT_S: Final = 1.0
RECONCILE_POLL_S: Final = 0.2
RECONCILE_END_S_MAX: Final = 5.0
LEDGER_WAIT_S: Final = 2.0


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
    link: "LinkSpec | None" = None,
) -> None:
    """Run the one owner of chDB until `stop` is set: the API, the intake of live rows, and the reconciler."""
    from adtally.reconcile.requests import MemoryRequests
    from adtally.serve.app import build_app
    from adtally.serve.intake import build_intake
    from adtally.serve.progress import Progress
    from adtally.wiring.server import Server

    store = open_store(folder, config)
    with contextlib.closing(open_ledger(folder, config)) as ledger:
        wholeness = Wholeness(store, ledger, config)
    progress, book = Progress(), MemoryRequests()
    services = _services(folder, config, store, progress, book, click_url, link, wholeness)
    recounter = open_recounter(config)
    parts = _parts(folder, config, store, services.ledger, recounter, lambda: progress.as_of_ms or 0)
    api = build_app(services)
    servers = [Server(api, api.state.end_streams), Server(build_intake(store, progress, token))]
    with reconciling(parts, config, book, wholeness=wholeness):
        await _serve_until(servers, (sock, intake_sock), stop, on_ready, on_beat)
    _close(services, store)


async def run_api_role(
    folder: DataFolder,
    config: Config,
    sock: socket.socket,
    click_url: str,
    stop: asyncio.Event,
    on_ready: Callable[[], None],
) -> None:
    """Run one of several API servers until `stop` is set. Raises StoreUnavailableError for a store that is away."""
    from adtally.ledger.board import SqlReportBoard
    from adtally.reconcile.requests_sql import SqlRequests
    from adtally.serve.app import build_app
    from adtally.serve.progress import BoardFollower, Progress
    from adtally.wiring.server import Server

    database = open_ledger_database(config)
    store = open_store(folder, config)
    progress = Progress()
    follower = BoardFollower(SqlReportBoard(database), progress)
    follower.start()
    services = _services(folder, config, store, progress, SqlRequests(database), click_url, None)
    api = build_app(services)
    await _serve_until([Server(api, api.state.end_streams)], (sock,), stop, on_ready, lambda: None)
    follower.close()
    _close(services, store)
    database.close()


def run_reconciler_role(
    folder: DataFolder, config: Config, stop: threading.Event, on_ready: Callable[[], None]
) -> None:
    """Run the reconciler alone until `stop` is set; a second one waits until the first has gone.

    Raises StoreUnavailableError if a store is away at the start.
    """
    from adtally.ledger.board import SqlReportBoard
    from adtally.reconcile.requests_sql import SqlRequests
    from adtally.serve.progress import Progress
    from adtally.stream.reports import together

    database = open_ledger_database(config)
    store, ledger = open_store(folder, config), open_ledger(folder, config)
    board, progress = SqlReportBoard(database), Progress()

    def counted_ms() -> int:
        progress.replace(together(board.reports()))
        return progress.as_of_ms or 0

    parts = _parts(folder, config, store, ledger, open_recounter(config), counted_ms)
    with metrics_shown(folder, config, "reconciler", Seen()):
        on_ready()
        while not stop.is_set():
            with contextlib.suppress(StoreUnavailableError), database.hold("reconciler") as held:
                if held():
                    log.info("this reconciler is the one that works")
                    with reconciling(parts, config, SqlRequests(database), held) as ended:
                        while not stop.wait(RECONCILE_POLL_S) and not ended.is_set():
                            pass
            stop.wait(LEDGER_WAIT_S)
    ledger.close()
    store.close()
    database.close()


def _services(
    folder: DataFolder,
    config: Config,
    store: "ChdbStore | ClickHouseStore",
    progress: "Progress",
    book: "RequestBook",
    click_url: str,
    link: "LinkSpec | None",
    wholeness: Wholeness | None = None,
) -> "Services":
    from adtally.olap.whole import ReaderWhenWhole
    from adtally.reconcile.requests import Desk
    from adtally.serve.services import Services
    from adtally.wiring.meters import more_metrics

    registry = open_registry(folder, config)
    ledger = open_ledger(folder, config)
    return Services(
        reader=store if wholeness is None else ReaderWhenWhole(store, wholeness.is_whole),
        registry=registry,
        ledger=ledger,
        clock=SYSTEM_CLOCK,
        config=config.serve,
        progress=progress,
        ready=lambda: reasons_of(store.ping, registry.ping, ledger.ping),
        reconcile=config.reconcile,
        letters=open_letters(folder, config),
        reconciling=Desk(book, ledger, SYSTEM_CLOCK),
        cache=open_cache(config),
        sessions=open_sessions(config),
        click_url=config.serve.click_url or click_url,
        link=link,
        more_metrics=more_metrics(folder),
    )


async def _serve_until(
    servers: Sequence["Server"],
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
) -> None:
    tasks = [asyncio.create_task(server.serve(sockets=[s])) for server, s in zip(servers, sockets, strict=True)]
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn offers no event for this
        await asyncio.sleep(0.01)
    look_for_cycles_less_often()
    on_ready()
    while not stop.is_set():
        on_beat()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), BEAT_S)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)


def _close(services: "Services", store: "ChdbStore | ClickHouseStore") -> None:
    services.letters.close()
    services.ledger.close()
    store.close()


def rebuild(folder: DataFolder, config: Config, progress: "PassProgress") -> "PassReport":
    """Make the OLAP store anew from the lake; live minutes come back when the stream replays the log.

    Only right while nothing runs on the folder. A rebuild that dies is taken up by the next one, or by the next start.
    """
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.reconcile.passes import Wanted
    from adtally.reconcile.reconciler import Reconciler

    # The stream's place goes first: a store without live minutes would otherwise keep their place.
    SqliteLogReader(folder.log, "stream").forget()
    reach("rebuild.forgotten")
    shutil.rmtree(folder.olap, ignore_errors=True)
    reach("rebuild.removed")
    store, ledger = open_store(folder, config), open_ledger(folder, config)
    # Nobody counts live meanwhile, so nobody is waited for.
    parts = _parts(folder, config, store, ledger, open_recounter(config), lambda: FOREVER_MS)
    try:
        return Reconciler(parts, config.reconcile, config.lake, rules_of(config)).run(Wanted(verify=True), progress)
    finally:
        parts.recounter.close()
        ledger.close()
        store.close()


def rules_of(config: Config) -> Rules:
    """Give the rules by which events are counted now."""
    return Rules(config.stream.dedup_window_ms, config.stream.lateness_ms, VERDICTS, COUNTING_VERSION)


def _parts(
    folder: DataFolder,
    config: Config,
    store: "ChdbStore | ClickHouseStore",
    ledger: "Ledger",
    recounter: "Recounter",
    counted_ms: Callable[[], int],
) -> "Parts":
    from adtally.reconcile.reconciler import Parts

    lake, results = open_lake(folder, config), folder.run / "recount"
    return Parts(lake, ledger, store, store, recounter, SYSTEM_CLOCK, counted_ms, results)


@contextlib.contextmanager
def reconciling(
    parts: "Parts",
    config: Config,
    book: "RequestBook",
    may: Callable[[], bool] = lambda: True,
    wholeness: Wholeness | None = None,
) -> Iterator[threading.Event]:
    """Reconcile in a thread, for as long as `may` says so before each step; the event is set when it says no.

    At the end a recount that is under way is broken off: its hours stay due.
    """
    from adtally.reconcile.loop import ReconcileLoop
    from adtally.reconcile.reconciler import Reconciler

    reconciler = Reconciler(parts, config.reconcile, config.lake, rules_of(config))
    loop = ReconcileLoop(reconciler, book, parts.ledger, config.reconcile)
    ended = threading.Event()

    def reconcile() -> None:
        while not ended.wait(RECONCILE_POLL_S):
            if not may():
                ended.set()
                return
            try:
                loop.step(SYSTEM_CLOCK.now_ms())
                if wholeness is not None and loop.verified:
                    wholeness.verified()
            except StoreUnavailableError as error:
                log.warning("the reconciler waits for the ledger", error=str(error))
                ended.wait(LEDGER_WAIT_S)

    thread = threading.Thread(target=reconcile, name="reconciler", daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        ended.set()
        parts.recounter.close()
        thread.join(RECONCILE_END_S_MAX)
