"""The one owner of chDB: the API, the intake of live rows, and the reconciler; and a rebuild without them."""

import asyncio
import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.counting import COUNTING_VERSION
from adtally.errors import AdtallyError, StoreUnavailableError
from adtally.event import VERDICTS
from adtally.faultpoint import reach
from adtally.folder import DataFolder
from adtally.ledger.port import Rules
from adtally.telemetry import log
from adtally.utc import FOREVER_MS
from adtally.wiring.logs import open_letters
from adtally.wiring.stores import open_ledger, open_registry

if TYPE_CHECKING:
    from adtally.ledger.sql import SqlLedger
    from adtally.olap.chdb import ChdbStore
    from adtally.reconcile.loop import ReconcileLoop
    from adtally.reconcile.passes import PassReport
    from adtally.reconcile.port import Recounter
    from adtally.reconcile.reconciler import Parts, Progress
    from adtally.serve.link import LinkSpec

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
    """Run the one owner of chDB: the API, and the intake of live rows, until `stop` is set."""
    from adtally.olap.chdb import ChdbStore
    from adtally.reconcile.loop import ReconcileLoop
    from adtally.reconcile.reconciler import Reconciler
    from adtally.reconcile.requests import Desk, MemoryRequests
    from adtally.serve.app import Services, build_app
    from adtally.serve.cache.memory import MemoryCache
    from adtally.serve.intake import build_intake
    from adtally.serve.progress import Progress
    from adtally.wiring.server import Server

    store = ChdbStore(folder.olap, config.olap.memory_bytes_max)
    store.migrate()
    progress = Progress()
    registry = open_registry(folder)
    ledger = open_ledger(folder)
    parts = _parts(folder, store, ledger, lambda: progress.as_of_ms or 0)
    book = MemoryRequests()
    reconciler = Reconciler(parts, config.reconcile, config.lake, rules_of(config))
    loop = ReconcileLoop(reconciler, book, ledger, config.reconcile)
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
        reconciling=Desk(book, ledger, SYSTEM_CLOCK),
        cache=MemoryCache(config.serve.cache_bytes_max, SYSTEM_CLOCK),
        click_url=click_url,
        link=link,
    )
    api = build_app(services)
    servers = [Server(api, api.state.end_streams), Server(build_intake(store, progress, token))]
    tasks = [
        asyncio.create_task(server.serve(sockets=[s])) for server, s in zip(servers, (sock, intake_sock), strict=True)
    ]
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn offers no event for this
        await asyncio.sleep(0.01)
    on_ready()
    with _reconciling(loop, parts.recounter):
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


def rebuild(folder: DataFolder, config: Config, progress: "Progress") -> "PassReport":
    """Make the OLAP store anew from the lake; live minutes come back when the stream replays the log.

    Only right while nothing runs on the folder. A rebuild that dies is taken up by the next one, or by the next start.
    """
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.olap.chdb import ChdbStore
    from adtally.reconcile.passes import Wanted
    from adtally.reconcile.reconciler import Reconciler

    # The stream's place goes first: a store without live minutes would otherwise keep their place.
    SqliteLogReader(folder.log, "stream").forget()
    reach("rebuild.forgotten")
    shutil.rmtree(folder.olap, ignore_errors=True)
    reach("rebuild.removed")
    store, ledger = ChdbStore(folder.olap, config.olap.memory_bytes_max), open_ledger(folder)
    store.migrate()
    # Nobody counts live meanwhile, so nobody is waited for.
    parts = _parts(folder, store, ledger, lambda: FOREVER_MS)
    try:
        return Reconciler(parts, config.reconcile, config.lake, rules_of(config)).run(Wanted(verify=True), progress)
    finally:
        parts.recounter.close()
        ledger.close()
        store.close()


def rules_of(config: Config) -> Rules:
    """Give the rules by which events are counted now."""
    return Rules(config.stream.dedup_window_ms, config.stream.lateness_ms, VERDICTS, COUNTING_VERSION)


def _parts(folder: DataFolder, store: "ChdbStore", ledger: "SqlLedger", counted_ms: Callable[[], int]) -> "Parts":
    from adtally.lake.directory import DirectoryLake
    from adtally.reconcile.chdb.recounter import ChdbRecounter
    from adtally.reconcile.reconciler import Parts

    recounter, results = ChdbRecounter(), folder.run / "recount"
    return Parts(DirectoryLake(folder.lake), ledger, store, store, recounter, SYSTEM_CLOCK, counted_ms, results)


@contextlib.contextmanager
def _reconciling(loop: "ReconcileLoop", recounter: "Recounter") -> Iterator[None]:
    """Reconcile in a thread. At the end a recount that is under way is broken off: its hours stay due."""
    ended = threading.Event()

    def reconcile() -> None:
        while not ended.wait(RECONCILE_POLL_S):
            try:
                loop.step(SYSTEM_CLOCK.now_ms())
            except StoreUnavailableError as error:
                log.warning("the reconciler waits for the ledger", error=str(error))
                ended.wait(LEDGER_WAIT_S)

    thread = threading.Thread(target=reconcile, name="reconciler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        recounter.close()
        thread.join(RECONCILE_END_S_MAX)


def _reasons(*pings: Callable[[], None]) -> list[str]:
    """Give the reasons why a store does not answer."""
    reasons = []
    for ping in pings:
        try:
            ping()
        except AdtallyError as error:
            reasons.append(str(error))
    return reasons
