"""One edge worker: serves on a socket until it is told to stop, and leaves a closed log behind (design section 1)."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from adtally.clock import Clock
from adtally.config import EdgeConfig
from adtally.edge.gate import Gate
from adtally.edge.protocol import Connection
from adtally.edge.site import EdgeSite
from adtally.errors import AdtallyError
from adtally.eventlog.port import LogWriter, SpoolState
from adtally.registry.port import AdReplica
from adtally.telemetry import log

TICK_S: Final = 0.05
REFRESH_S: Final = 0.25
HEARTBEAT_GAP_S: Final = 1.0
"""Between two heartbeats under load; without events they come each `heartbeat_ms`."""
STOP_EXTRA_S: Final = 1.0
"""What stopping may take beyond the time that clicks wait for the log."""
IDLE_WHEN_FULL_S: Final = 1.0
"""While connections wait for room, one that asked nothing for so long is closed."""


async def run_edge(
    config: EdgeConfig,
    replica: AdReplica,
    writer: LogWriter,
    edge_id: str,
    clock: Clock,
    sock: socket.socket,
    stop: asyncio.Event,
    on_ready: Callable[[], None],
    on_beat: Callable[[], None],
    spool: Callable[[], SpoolState] = SpoolState,
) -> None:
    """Serve on `sock`, which is bound, until `stop` is set; then answer what is in flight and close the writer.

    `writer` holds the Opening record of `edge_id`. `on_ready` is called once connections are accepted, `on_beat` at
    each heartbeat; `spool` tells what the writer holds back, where there is a spool. Raises what the writer or the
    replica raise beside the errors of their ports.
    """
    site = EdgeSite(config, replica, writer, edge_id, clock, spool)
    gate = Gate(sock, lambda: Connection(site))
    await gate.open()
    site.on_full = gate.shut
    pulse = asyncio.create_task(_pulse(config, site, gate, on_beat))
    stopped = asyncio.create_task(stop.wait())
    ends: set[asyncio.Future[Any]] = {pulse, stopped, site.crashed}
    try:
        on_ready()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        gate.end()
        if not stopped.done():
            # Whichever of the two is done, it is by an exception.
            await (pulse if pulse.done() else site.crashed)
        await _drain(config, site)
    finally:
        gate.end()
        pulse.cancel()
        stopped.cancel()
        for connection in list(site.connections):
            connection.abort()
    await _close_writer(config, site)


async def _pulse(config: EdgeConfig, site: EdgeSite, gate: Gate, on_beat: Callable[[], None]) -> None:
    """Do what is due by time, for as long as the worker lives."""
    heartbeat_s = config.heartbeat_ms / 1000
    beat_at_s = refresh_at_s = room_at_s = site.now_s
    logged_s, logged_seq = site.now_s - HEARTBEAT_GAP_S, -1
    while True:
        site.tick()
        now_s = site.now_s
        if site.full() and now_s >= room_at_s:
            room_at_s = now_s + IDLE_WHEN_FULL_S
            for connection in list(site.connections):
                connection.close_idle(IDLE_WHEN_FULL_S)
        if site.crowded():
            gate.shut()
        else:
            await gate.open()
        if now_s >= refresh_at_s:
            refresh_at_s = now_s + REFRESH_S
            _refresh(site)
            gate.pace(site.stats.count["connections_accepted"], now_s)
        if now_s >= beat_at_s:
            beat_at_s = now_s + heartbeat_s
            # Under load, events tell by themselves how far the worker is.
            if site.identity.last_seq == logged_seq or now_s - logged_s >= HEARTBEAT_GAP_S:
                site.heartbeat()
                logged_s = now_s
            logged_seq = site.identity.last_seq
            site.publish()
            on_beat()
        await asyncio.sleep(min(TICK_S, heartbeat_s))


def _refresh(site: EdgeSite) -> None:
    try:
        site.judge.refresh()
    except AdtallyError as error:
        # Clicks go on with the ads as they were.
        site.stats.count["refresh_failures"] += 1
        log.error("changes of ads could not be read; clicks go on with those known", error=str(error))


async def _drain(config: EdgeConfig, site: EdgeSite) -> None:
    """Answer what was asked, for as long as a click may wait."""
    site.stopping = True
    for connection in list(site.connections):
        connection.stop()
    try:
        async with asyncio.timeout(config.append_timeout_ms / 1000 + STOP_EXTRA_S):
            await site.drained.wait()
            await site.deserted.wait()
    except TimeoutError:
        log.error("not all was answered before the end", pending=site.commit.pending, open=len(site.connections))


async def _close_writer(config: EdgeConfig, site: EdgeSite) -> None:
    site.close_writer()
    try:
        async with asyncio.timeout(config.append_timeout_ms / 1000 + STOP_EXTRA_S):
            error = await asyncio.shield(site.closed)
    except TimeoutError:
        log.error("the event log does not answer; the next start closes it for this worker")
        return
    if error is not None:
        log.error("the event log took no closing record; the next start closes it", error=str(error))
