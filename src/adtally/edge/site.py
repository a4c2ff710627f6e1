"""What the edge answers to which path (design section 6), and the way of a click through the log (section 1)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from adtally.clock import Clock
from adtally.config import EdgeConfig
from adtally.edge.clicks import ClickJudge, Request
from adtally.edge.clients import Client, Clients
from adtally.edge.commit import GroupCommit
from adtally.edge.commit_thread import CommitThread, as_log_error
from adtally.edge.cookies import NewUsers
from adtally.edge.deadlines import Deadlines
from adtally.edge.exchange import Reply
from adtally.edge.identity import Identity
from adtally.edge.own_paths import OwnPaths
from adtally.edge.plain import PlainHeads
from adtally.edge.protocol import Connection
from adtally.edge.responses import CLOSE, KEEP_ALIVE, DateLine, Refusal, Status, not_recorded, with_body
from adtally.edge.stats import EdgeStats, Refused, Unrecorded
from adtally.errors import InvalidValueError, LogError
from adtally.eventlog.port import LogWriter, SpoolState
from adtally.registry.port import AdReplica
from adtally.telemetry import log

GATHER_TURNS_MAX: Final = 2
"""Turns of the loop that a batch may wait for more clicks, as long as each brings some."""
_END_CLOSE: Final = CLOSE + b"\r\n"
_ALLOW: Final = b"Allow: GET, HEAD\r\n"
_ANSWERED: Final = frozenset({b"GET", b"HEAD"})
_PATHS: Final = frozenset({b"/click", b"/-/healthz", b"/-/readyz", b"/-/metrics"})
_REFUSED: Final[dict[Status, Refused]] = {
    404: "unknown_path",
    405: "method",
    408: "head_timeout",
    414: "head_too_large",
    431: "head_too_large",
}


class EdgeSite:
    """One worker's answers. Lives in one event loop; only the writer's calls happen in another thread."""

    def __init__(
        self, config: EdgeConfig, replica: AdReplica, writer: LogWriter, edge_id: str, clock: Clock,
        spool: Callable[[], SpoolState] = SpoolState,
    ) -> None:  # fmt: skip
        self.clock: Final = clock
        self.now_s = clock.monotonic_s()
        self.head_timeout_s = float(config.head_timeout_s)
        self.idle_timeout_s = float(config.idle_timeout_s)
        self.deadlines: Deadlines[Connection] = Deadlines(self.now_s)
        self.read_plain: Final = PlainHeads().read
        self.connections: Final[set[Connection]] = set()
        self.stats: Final = EdgeStats(spool)
        self.identity: Final = Identity(edge_id, clock.now_ms())
        self.drained: Final = asyncio.Event()
        """Set while nothing waits for the log, or gathers before it does."""
        self.drained.set()
        self.deserted: Final = asyncio.Event()
        """Set while there are no connections."""
        self.deserted.set()
        self.stopping = False
        self.on_full: Callable[[], None] = lambda: None
        self.crashed: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        """Gets the exception of a writer that failed otherwise than its port says."""
        self._config: Final = config
        self._loop: Final = asyncio.get_running_loop()
        self._clients: Final = Clients(config.trusted_proxies)
        self._own_paths: Final = OwnPaths(config, self._clients, self.stats, self.ready, self.publish)
        users = NewUsers(secure=config.secure_cookie)
        self.judge: Final = ClickJudge(
            replica, self._clients, users, config.ad_cache_entries,
            event_header=config.event_header, counted_agents=config.counted_agents,
        )  # fmt: skip
        self.commit: Final[GroupCommit[Reply]] = GroupCommit(
            config.pending_events_max, config.batch_events_max,
            config.append_timeout_ms / 1000, config.heartbeat_ms / 1000,
        )  # fmt: skip
        self.closed: Final[asyncio.Future[LogError | None]] = self._loop.create_future()
        """Done when the writer is closed, with what went wrong."""
        self._closing = False
        self._thread: Final = CommitThread(writer, clock, self._loop, self._finished)
        self._events: Final = self.stats.events
        self._date: Final = DateLine(clock.now_ms())
        self._turn_scheduled = False
        self._turn_s = self.now_s
        self._turns = self._gathered = 0
        self._was_ready = True

    def connected(self, connection: Connection, host: str) -> Client | None:
        """Take note of a new connection; None for the few that come before `on_full` has shut the gate."""
        if self.stopping or self.full():
            self.stats.count["connections_refused"] += 1
            return None
        self.stats.count["connections_accepted"] += 1
        self.connections.add(connection)
        self.deserted.clear()
        if self.full():
            self.on_full()
        return self._clients.peer(host)

    def full(self) -> bool:
        """Whether there are as many connections as may be."""
        return len(self.connections) >= self._config.connections_max

    def crowded(self) -> bool:
        """Whether new connections are better left to the kernel, or to another edge."""
        return self.stopping or self.full() or (self._config.overload == "refuse" and self.commit.behind)

    def disconnected(self, connection: Connection) -> None:
        """Take note of the end of a connection that was taken."""
        self.connections.discard(connection)
        if not self.connections:
            self.deserted.set()

    def handle(self, request: Request, reply: Reply, *, old: bool) -> None:
        """Answer a request: fill in `reply` now, or once the log has its click."""
        reply.close = reply.close or self.stopping
        if request.method not in _ANSWERED:
            status: Status = 405 if request.path in _PATHS else 404
            refusal = Refusal(status, "only GET and HEAD are answered here" if status == 405 else "no such path")
            if request.body:
                raise refusal
            self.stats.refused[_REFUSED[status]] += 1
            self._reply(request, reply, status, refusal.text.encode("ascii"), _ALLOW if status == 405 else b"")
        elif request.path == b"/click":
            self.click(request, reply)
        else:
            self._reply(request, reply, *self._own_paths.answer(request))
        if old and not reply.close and reply.data:
            reply.data = reply.data.replace(b"\r\n", b"\r\n" + KEEP_ALIVE, 1)

    def _reply(self, request: Request, reply: Reply, status: Status, body: bytes, more: bytes = b"") -> None:
        head = request.method == b"HEAD"
        reply.data = with_body(self._date, status, body, head=head, close=reply.close, more=more)
        reply.ready = True

    def refuse(self, refusal: Refusal, reply: Reply) -> None:
        """Fill in the answer to a request that cannot be served."""
        if refusal.status != 500:
            self.stats.refused[_REFUSED.get(refusal.status, "bad_head")] += 1
        more = _ALLOW if refusal.status == 405 else b""
        body = f"{refusal.text}\n".encode("ascii")
        reply.data = with_body(self._date, refusal.status, body, head=False, close=True, more=more)
        reply.ready = True

    def defect(self, error: BaseException) -> Refusal:
        """Report an error that nobody expected, and give what the client is told."""
        self.stats.count["defects"] += 1
        log.error("a request failed", exc_info=error)
        return Refusal(500, "this is a defect of the server")

    def click(self, request: Request, reply: Reply) -> None:
        """Answer a request for `/click`."""
        if not self._turn_scheduled:
            self._begin_turn()
        identity = self.identity
        try:
            redirect = self.judge.decide(request, identity)
        except InvalidValueError as error:
            self.stats.refused["bad_parameter"] += 1
            self._reply(request, reply, 400, f"{error}\n".encode("ascii"))
            return
        if redirect is None:
            self.stats.refused["unknown_ad"] += 1
            self._reply(request, reply, 404, b"no such ad\n")
            return
        self._events[redirect.verdict] += 1
        rest = redirect.location_and_more
        reply.data = b"%b%b%b" % (self._date.redirect, rest, _END_CLOSE if reply.close else b"\r\n")
        if not self.commit.add(redirect.encoded, identity.edge_id, redirect.seq, identity.ts_ms, reply, self._turn_s):
            self.stats.unrecorded["queue_full"] += 1
            reply.data = not_recorded(reply.data)
            reply.ready = True

    def _begin_turn(self) -> None:
        """See to it that all clicks of this turn of the loop share one look at the clock and one batch."""
        self._turn_scheduled = True
        self.drained.clear()
        self._turn_s = self.clock.monotonic_s()
        self.observe_clock()
        self._loop.call_soon(self._turn)

    def observe_clock(self) -> None:
        """Let the identity see the clock, and log what follows if it jumped back."""
        jumped = self.identity.observe(self.clock.now_ms())
        if jumped is None:
            return
        closing, opening = jumped
        self.stats.count["clock_jumps"] += 1
        log.error(
            "the clock went back by more than a second: a new edge_id begins; check this host's time service",
            back_ms=closing.ts_ms - opening.ts_ms,
            edge_id=closing.edge_id,
            new_edge_id=opening.edge_id,
        )
        self.commit.add_control(closing)
        self.commit.add_control(opening)

    def _turn(self) -> None:
        """Submit once a turn of the loop has brought no new click.

        Clients that were answered together ask together, but not within one turn: a batch that leaves with the first
        of them splits them for good, into commits that cost as much each. A turn that brings nothing does not wait.
        """
        pending = self.commit.pending
        if pending > self._gathered and self._turns < GATHER_TURNS_MAX and not self.commit.outstanding:
            self._gathered = pending
            self._turns += 1
            self._begin_turn()
            return
        self._turn_scheduled = False
        self._gathered = self._turns = 0
        self._submit(self._turn_s)
        if self.commit.empty:
            self.drained.set()

    def _submit(self, now_s: float) -> None:
        if not self._closing and (batch := self.commit.take_batch(now_s)) is not None:
            self.drained.clear()
            self._thread.submit(batch, self.commit.take_loss())

    def _finished(self, raised: Exception | None, took_s: float) -> None:
        try:
            error = as_log_error(raised)
        except Exception as defect:  # noqa: BLE001 - run_edge raises it
            if not self.crashed.done():
                self.crashed.set_exception(defect)
            return
        self.stats.batch_seconds.observe(took_s)
        self.stats.count["batches_durable" if error is None else "batches_failed"] += 1
        if not self.commit.outstanding:
            self.closed.set_result(error)
            return
        now_s = self.clock.monotonic_s()
        outcome = self.commit.finished(error, now_s, took_s)
        if error is not None:
            log.error("the event log could not keep a batch", error=str(error), clicks=len(outcome.waiters))
        if self.commit.pending >= self._config.batch_events_max:
            # A full batch waits for nobody: its write goes on while these answers leave.
            self._submit(now_s)
        if self.commit.empty:
            self.drained.set()
        self._settle(outcome.waiters, None if outcome.recorded else "log_failed")
        if not self.commit.empty and not self._turn_scheduled:
            self._begin_turn()

    def _settle(self, replies: Sequence[Reply], unrecorded: Unrecorded | None) -> None:
        if unrecorded is None:
            self.stats.count["recorded"] += len(replies)
        else:
            self.stats.unrecorded[unrecorded] += len(replies)
        first: list[Connection] = []
        for reply in replies:
            if unrecorded is not None:
                reply.data = not_recorded(reply.data)
            reply.ready = True
            connection = reply.connection
            if connection.outstanding and connection.outstanding[0] is reply:
                first.append(connection)
        # One write for all of a connection's replies that this batch made ready.
        for connection in first:
            connection.settled()

    def tick(self) -> None:
        """Keep limits of time; to be called many times a second."""
        self.now_s = self.clock.monotonic_s()
        self._date.refresh(self.clock.now_ms())
        self._settle(self.commit.expire(self.now_s), "log_slow")
        self.deadlines.tick(self.now_s)
        self._submit(self.now_s)

    def heartbeat(self) -> None:
        """Queue a heartbeat behind all events."""
        self.observe_clock()
        self.commit.add_control(self.identity.heartbeat())
        self._submit(self.now_s)

    def ready(self) -> bool:
        """Whether clicks are being kept."""
        return not self.stopping and self.commit.healthy(self.clock.monotonic_s())

    def publish(self) -> None:
        """Bring the metrics up to date, and report a change of readiness."""
        ready = self.ready()
        now_ms, crowded = self.clock.now_ms(), self.crowded()
        self.stats.publish(len(self.connections), self.commit.pending, now_ms, ready=ready, crowded=crowded)
        if ready != self._was_ready and not self.stopping:
            self._was_ready = ready
            (log.info if ready else log.error)("the event log takes clicks again" if ready else "not ready: event log")

    def close_writer(self) -> None:
        """Close the writer with a Closing record, behind a call of it that may still be outstanding."""
        self._closing = True
        self._thread.close(self.identity.closing())
