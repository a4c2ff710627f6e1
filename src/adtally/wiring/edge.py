"""One edge worker."""

import asyncio
import gc
import socket
from collections.abc import Callable

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, set_for_children
from adtally.edge.identity import new_edge_id
from adtally.folder import DataFolder
from adtally.wiring.logs import edge_partition


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
