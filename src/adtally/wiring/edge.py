"""One edge worker."""

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, set_for_children
from adtally.edge.identity import new_edge_id
from adtally.eventlog.port import LogWriter
from adtally.folder import DataFolder
from adtally.wiring.ads import ads_file
from adtally.wiring.logs import edge_partition, kafka_writer
from adtally.wiring.threads import beside

if TYPE_CHECKING:
    from adtally.eventlog.spool.drainer import SpoolDrainer

DRAIN_TIMEOUT_MS = 5_000
"""Nobody waits for a redirect behind what is drained."""


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
    from adtally.edge.host import EdgeHost
    from adtally.edge.worker import run_edge
    from adtally.registry.replica import SqliteAdReplica

    edge_id = new_edge_id()
    host = EdgeHost(folder.root, folder.run / "metrics", SYSTEM_CLOCK.now_ms())

    def beat() -> None:
        host.publish()
        on_beat()

    with ads_file(folder, config) as file, _open_log(folder, config, index, edge_id) as writer:
        replica = SqliteAdReplica(file)
        gc.freeze()
        await run_edge(config.edge, replica, writer, edge_id, SYSTEM_CLOCK, sock, stop, on_ready, beat)


@contextlib.contextmanager
def _open_log(folder: DataFolder, config: Config, index: int, edge_id: str) -> Iterator[LogWriter]:
    """Open the log for a worker, which closes it; at the end whatever helps it ends too. Raises LogError."""
    now_ms = SYSTEM_CLOCK.now_ms()
    if not config.log.brokers:
        from adtally.eventlog.sqlite.writer import SqliteLogWriter

        yield SqliteLogWriter.open(folder.log, edge_partition(index), edge_id, now_ms, config.log.segment_bytes)
        return
    from adtally.eventlog.spool.writer import SpooledWriter

    log, drain_log = kafka_writer(config.log, config.log.spool_after_ms), kafka_writer(config.log, DRAIN_TIMEOUT_MS)
    log.warm_up(edge_id, now_ms)
    writer, drainer = SpooledWriter.open(
        log, drain_log, folder.spool, edge_id, now_ms, config.log.spool_bytes_max, config.log.spool_after_ms
    )
    try:
        with beside("spool", lambda ended: _drain_until(drainer, ended)):
            yield writer
    finally:
        drainer.close(SYSTEM_CLOCK.now_ms())


def _drain_until(drainer: "SpoolDrainer", ended: threading.Event) -> None:
    """Move what is spooled to the log."""
    while not ended.wait(drainer.step(SYSTEM_CLOCK.now_ms())):
        pass
