"""Open-loop load: every request has its intended time, whatever the answers do.

Latency is measured from the intended time, so a system that stalls cannot hide the requests that had to wait for it
(coordinated omission). Requests that cannot be sent yet queue here, and their latency grows.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from adtally.clock import Clock
from adtally.traffic.connection import Connection, Waiting
from adtally.traffic.histogram import Histogram, Latencies
from adtally.traffic.plan import Attempt, Plan
from adtally.traffic.truth import TruthWriter

TICK_S: Final = 0.001
CHUNK_ATTEMPTS: Final = 64
"""Rendered at a time: about 0.3 ms, so that planning delays no answer noticeably."""

WRITES_PER_TICK: Final = 16
"""More requests than this in one tick share writes: several on a connection, answered in order."""

WAITING_MAX: Final = 64
"""Unanswered requests of one connection; above it, attempts wait for another one."""

RECONNECT_S: Final = 0.05
CONNECT_S: Final = 1.0
WATCH_S: Final = 0.25


class LoadSettings(msgspec.Struct, frozen=True):
    """Where the load goes, and how much of it."""

    host: str
    port: int
    rate: float
    """Attempts per second."""
    seconds: float | None = None
    """None: until `stop`."""
    connections: int = 64
    answer_timeout_s: float = 10.0
    """A connection whose oldest request waits longer is given up; at the end, the last answers are awaited as long."""


class LoadReport(msgspec.Struct, frozen=True):
    """What a load did. Counts are of attempts."""

    seconds: float
    """From the first intended time to the last answer or, while it runs, to now."""
    rate: float
    achieved_rate: float
    """Answers per second."""
    sent: int
    answered: int
    recorded: int
    """Answered by a 302 that promised the click is kept."""
    unrecorded: int
    """Answered by a 302 with `X-Click-Recorded: false`."""
    refused: int
    """Answered by anything else."""
    unknown: int
    """Sent and not answered."""
    unsent: int
    """Due and not sent: no connection could take them in time."""
    retries: int
    """New attempts with the ids of unknown ones; part of `sent`."""
    latency: Latencies
    statuses: dict[str, int]


class Load:
    """One load. Lives on one event loop; `run` once."""

    def __init__(self, plan: Plan, settings: LoadSettings, clock: Clock, truth: TruthWriter | None = None) -> None:
        self._plan = plan
        self._settings = settings
        self._clock = clock
        self._truth = truth
        self._histogram = Histogram()
        self._statuses: dict[bytes, int] = {}
        self._connections: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._backlog: deque[tuple[Attempt, float]] = deque()
        self._rendered: deque[Attempt] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._started_s = 0.0
        self._ended_s: float | None = None
        self._planned = self._sent = self._recorded = self._unrecorded = self._unknown = self._retries = 0
        self._answered = 0
        self._epoch_ms = 0.0
        self._stopping = False
        self._all_gone = asyncio.Event()

    def stop(self) -> None:
        """End the load early: nothing more is planned, outstanding answers are awaited."""
        self._stopping = True

    def report(self) -> LoadReport:
        """Give the counts so far."""
        seconds = max((self._ended_s or self._clock.monotonic_s()) - self._started_s, 1e-9)
        redirects = self._recorded + self._unrecorded
        return LoadReport(
            seconds=seconds,
            rate=self._settings.rate,
            achieved_rate=self._answered / seconds,
            sent=self._sent,
            answered=self._answered,
            recorded=self._recorded,
            unrecorded=self._unrecorded,
            refused=self._answered - redirects,
            unknown=self._unknown,
            unsent=len(self._backlog),
            retries=self._retries,
            latency=self._histogram.latencies(),
            statuses={status.decode(): number for status, number in sorted(self._statuses.items())},
        )

    async def run(self, on_progress: Callable[[LoadReport], None] | None = None) -> LoadReport:
        """Send everything, await the last answers, and give the final report.

        `on_progress` is called about four times a second.
        """
        for _ in range(self._settings.connections):
            self._connect()
        # The connections' setup is not part of the measurement.
        await asyncio.wait(self._connecting, timeout=CONNECT_S)
        # In this order: a pause between the two must not make an intended time later than its sending.
        now_ms = self._clock.now_ms()
        self._started_s = self._clock.monotonic_s()
        self._epoch_ms = now_ms - self._started_s * 1_000
        watcher = asyncio.create_task(self._watch(on_progress))
        await self._send_all()
        await self._await_answers()
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        self._ended_s = self._clock.monotonic_s()
        await self._disconnect()
        return self.report()

    async def _disconnect(self) -> None:
        # uvloop never reports the end of a connection whose opening is cancelled after it was made.
        if self._connecting:
            await asyncio.wait(self._connecting, timeout=CONNECT_S)
        for task in self._connecting:
            task.cancel()
        if self._connections:
            for connection in list(self._connections):
                connection.abort()
            await self._all_gone.wait()

    async def _send_all(self) -> None:
        seconds, rate = self._settings.seconds, self._settings.rate
        total = None if seconds is None else round(seconds * rate)
        while not self._stopping and (total is None or self._planned < total):
            due = int((self._clock.monotonic_s() - self._started_s) * rate) + 1
            self._plan_until(due if total is None else min(due, total))
            self._send_backlog()
            await asyncio.sleep(TICK_S)

    def _plan_until(self, due: int) -> None:
        while self._planned < due:
            if not self._rendered:
                self._rendered.extend(self._plan.take(CHUNK_ATTEMPTS))
            intended_s = self._started_s + self._planned / self._settings.rate
            self._backlog.append((self._rendered.popleft(), intended_s))
            self._planned += 1

    def _send_backlog(self) -> None:
        now_ms = self._clock.now_ms()
        group = -(-len(self._backlog) // WRITES_PER_TICK)
        while self._backlog:
            connection = self._free_connection()
            if connection is None:
                return
            number = min(group, len(self._backlog), WAITING_MAX - len(connection.waiting))
            connection.send([self._backlog.popleft() for _ in range(number)], now_ms)
            self._sent += number

    def _free_connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.popleft()
            if connection.usable and not connection.waiting:
                return connection
        usable = [connection for connection in self._connections if connection.usable]
        least = min(usable, key=lambda connection: len(connection.waiting), default=None)
        return least if least is not None and len(least.waiting) < WAITING_MAX else None

    async def _await_answers(self) -> None:
        deadline_s = self._clock.monotonic_s() + self._settings.answer_timeout_s
        while self._backlog or any(connection.waiting for connection in self._connections):
            if self._clock.monotonic_s() > deadline_s:
                return
            self._send_backlog()
            await asyncio.sleep(TICK_S)

    async def _watch(self, on_progress: Callable[[LoadReport], None] | None) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            oldest_ms = self._clock.now_ms() - self._settings.answer_timeout_s * 1_000
            for connection in list(self._connections):
                if connection.waiting and connection.waiting[0][2] < oldest_ms:
                    connection.abort()
            if self._truth is not None:
                self._truth.flush_if_due()
            if on_progress is not None:
                on_progress(self.report())

    def _connect(self) -> None:
        task = asyncio.get_running_loop().create_task(self._open())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        while self._ended_s is None:
            try:
                await loop.create_connection(lambda: Connection(self), self._settings.host, self._settings.port)
            except OSError:
                await asyncio.sleep(RECONNECT_S)
            else:
                return

    def connected(self, connection: Connection) -> None:
        """Use a new connection; none after the end, which it may have missed."""
        if self._ended_s is not None:
            connection.abort()
            return
        self._connections.add(connection)
        self._idle.append(connection)

    def drained(self, connection: Connection) -> None:
        """Use a connection again."""
        self._idle.append(connection)

    def answered(self, waiting: Waiting, status: bytes, recorded: bool, event: bytes) -> None:
        """Count an answer, and write it down."""
        attempt, intended_s, sent_ms = waiting
        self._answered += 1
        self._statuses[status] = self._statuses.get(status, 0) + 1
        if recorded:
            self._recorded += 1
        elif status == b"302":
            self._unrecorded += 1
        self._histogram.add(int((self._clock.monotonic_s() - intended_s) * 1_000_000))
        if self._truth is not None:
            self._truth.answered(
                attempt.truth, self._intended_ms(intended_s), sent_ms, self._clock.now_ms(), status, recorded, event
            )

    def broken(self, connection: Connection, unanswered: list[Waiting]) -> None:
        """Write down what is unknown now, try it again as a client would, and open another connection."""
        self._connections.discard(connection)
        now_ms = self._clock.now_ms()
        for attempt, intended_s, sent_ms in unanswered:
            self._unknown += 1
            if self._truth is not None:
                self._truth.unknown(attempt.truth, self._intended_ms(intended_s), sent_ms, now_ms)
            # A retry that fails too is given up, as a person would.
            if attempt.kind in {"click", "double"} and self._ended_s is None:
                self._retries += 1
                self._backlog.append((attempt.again(), self._clock.monotonic_s()))
        if self._ended_s is None:
            self._connect()
        elif not self._connections:
            self._all_gone.set()

    def _intended_ms(self, intended_s: float) -> int:
        return int(self._epoch_ms + intended_s * 1_000)
