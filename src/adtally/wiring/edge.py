"""One edge worker."""

import asyncio
import contextlib
import gc
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, EdgeConfig, set_for_children
from adtally.edge.identity import new_edge_id
from adtally.eventlog.port import LogWriter, SpoolState
from adtally.folder import DataFolder
from adtally.telemetry import log
from adtally.wiring.ads import ads_file
from adtally.wiring.logs import edge_partition, kafka_writer
from adtally.wiring.threads import beside

if TYPE_CHECKING:
    from adtally.eventlog.spool.drainer import SpoolDrainer

OTHER_DESCRIPTORS = 256
"""For all that is no connection: the log must never lack one for its next segment."""

DRAIN_TIMEOUT_MS = 5_000
"""Nobody waits for a redirect behind what is drained."""
DEFECT_PAUSE_S = 2.0


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

    with ads_file(folder, config) as file, _open_log(folder, config, index, edge_id) as (writer, spool):
        replica = SqliteAdReplica(file)
        gc.freeze()
        edge = within_descriptors(config.edge)
        await run_edge(edge, replica, writer, edge_id, SYSTEM_CLOCK, sock, stop, on_ready, beat, spool)


def within_descriptors(edge: EdgeConfig) -> EdgeConfig:
    """Raise this process's limit of open files as far as `connections_max` needs; give what fits below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = edge.connections_max + OTHER_DESCRIPTORS
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit == wanted:
        return edge
    fit = max(1, limit - OTHER_DESCRIPTORS)
    if 2 * fit < edge.connections_max:
        log.info("fewer connections than edge.connections_max fit into the limit of open files", fit=fit, limit=hard)
    return msgspec.structs.replace(edge, connections_max=fit)


@contextlib.contextmanager
def _open_log(
    folder: DataFolder, config: Config, index: int, edge_id: str
) -> Iterator[tuple[LogWriter, Callable[[], SpoolState]]]:
    """Open the log for a worker, which closes it, and what tells of its spool; at the end whatever helps it ends too.

    Raises LogError.
    """
    now_ms = SYSTEM_CLOCK.now_ms()
    if not config.log.brokers:
        from adtally.eventlog.sqlite.writer import SqliteLogWriter

        opened = SqliteLogWriter.open(folder.log, edge_partition(index), edge_id, now_ms, config.log.segment_bytes)
        yield opened, SpoolState
        return
    from adtally.eventlog.spool.writer import SpooledWriter

    fresh_log = kafka_writer(config.log, config.log.spool_after_ms)
    drain_log = kafka_writer(config.log, DRAIN_TIMEOUT_MS)
    fresh_log.warm_up(edge_id, now_ms)
    writer, drainer = SpooledWriter.open(
        fresh_log, drain_log, folder.spool, edge_id, now_ms, config.log.spool_bytes_max, config.log.spool_after_ms
    )
    try:
        with beside("spool", lambda ended: _drain_until(drainer, ended)):
            yield writer, lambda: writer.state
    finally:
        drainer.close(SYSTEM_CLOCK.now_ms())


def _drain_until(drainer: "SpoolDrainer", ended: threading.Event) -> None:
    """Move what is spooled to the log."""
    wait_s = 0.0
    while not ended.wait(wait_s):
        try:
            wait_s = drainer.step(SYSTEM_CLOCK.now_ms())
        except Exception as error:  # noqa: BLE001 - a spool that nobody drains any more would be seen too late
            log.error("A DEFECT KEEPS THE SPOOL FROM BEING DRAINED; it is tried again", exc_info=error)
            wait_s = DEFECT_PAUSE_S
