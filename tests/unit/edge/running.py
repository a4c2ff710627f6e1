"""A running edge with a log in memory, and raw sockets to talk to it."""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import uvloop

from adtally.clock import SYSTEM_CLOCK, Clock
from adtally.config import EdgeConfig
from adtally.edge.worker import run_edge
from adtally.errors import LogError
from adtally.event import Closing, Control, Event, Lost, decode_event
from adtally.registry.port import AdTarget

DEADLINE_S = 60.0
PATIENT_MS = 60_000
"""An append timeout that no stall of the machine reaches: what such an edge answers depends on its log alone."""
EDGE_ID = "e" * 16

LANDING = "https://shop.example/landing?from=adtally"
ADS = {
    "ad_1": AdTarget("camp_1", "adv_1", LANDING, "active"),
    "ad_paused": AdTarget("camp_1", "adv_1", LANDING, "paused"),
    "ad_archived": AdTarget("camp_1", "adv_1", LANDING, "archived"),
    "ad_macros": AdTarget(
        "camp 1", "adv_1", "https://m.example/{ad_id}/{campaign_id}?c={click_id}&i={impression_id}&t={ts}", "active"
    ),
    "a b/ü": AdTarget("camp_1", "adv_1", "https://shop.example/{ad_id}", "active"),
}


class MemoryWriter:
    """A LogWriter that can be made to fail, and to stall like a disk that does not come back."""

    def __init__(self) -> None:
        self.records: list[list[bytes] | Control] = []
        self.failing = False
        self.flowing = threading.Event()
        self.flowing.set()
        self.calls = 0
        self.breaks_with: Exception | None = None

    def append(self, events: Sequence[bytes], now_ms: int) -> None:
        self._write(list(events))

    def append_control(self, record: Control, now_ms: int) -> None:
        self._write(record)

    def append_together(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        self._write(list(events))
        self.records += records

    def close(self, closing: Control | None, now_ms: int) -> None:
        if closing is not None:
            self._write(closing)

    def _write(self, record: list[bytes] | Control) -> None:
        self.calls += 1
        self.flowing.wait()
        if self.breaks_with is not None:
            raise self.breaks_with
        if self.failing:
            raise LogError("the disk is full")
        self.records.append(record)

    def events(self) -> list[Event]:
        return [decode_event(line) for record in self.records if isinstance(record, list) for line in record]

    def controls(self) -> list[Control]:
        return [record for record in self.records if not isinstance(record, list)]

    def lost(self) -> set[tuple[str, int]]:
        return {
            (record.edge_id, seq)
            for record in self.controls()
            if isinstance(record, Lost)
            for seq in range(record.first_seq, record.last_seq + 1)
        }

    def kept(self) -> list[tuple[str, int]]:
        return [(event.edge_id, event.seq) for event in self.events()]


class DictReplica:
    def __init__(self) -> None:
        self.ads = dict(ADS)
        self.changed = False
        self.finds = 0
        self.breaks_with: Exception | None = None

    def find(self, ad_id: str) -> AdTarget | None:
        self.finds += 1
        if self.breaks_with is not None:
            raise self.breaks_with
        return self.ads.get(ad_id)

    def refresh(self) -> bool:
        changed, self.changed = self.changed, False
        return changed


class ManualClock:
    """Moves when a test says so; both of its times by themselves."""

    def __init__(self, now_ms: int = 1_795_000_000_000, monotonic_s: float = 1_000.0) -> None:
        self.ms = now_ms
        self.s = monotonic_s

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s


def wait_until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition, and fail where it does not come."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in time: {what or condition}"
        threading.Event().wait(0.002)


class Answer:
    """One response as it came."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, raw: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.raw = raw

    @property
    def recorded(self) -> bool:
        return self.headers.get("x-click-recorded") != "false"


class RawClient:
    """A socket that sends bytes as they are and reads responses one by one."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE_S, source_address=(source, 0))
        self.buffer = b""

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            # The server may have had enough already; its answer is what counts.
            return

    def answer(self, *, to_head: bool = False) -> Answer:
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z ]+", first)
        assert match, first
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if to_head else int(headers["content-length"])
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(int(match[1]), headers, body, head)

    def _more(self) -> None:
        data = self.socket.recv(65_536)
        assert data, f"the connection ended early, behind {self.buffer!r}"
        self.buffer += data

    def ended(self) -> bool:
        """Wait for the server to end the connection in order; False if it sends anything more."""
        assert not self.buffer, self.buffer
        return self.socket.recv(65_536) == b""

    def cut_off(self) -> bool:
        """Wait for the server to end the connection, in order or by a reset."""
        try:
            return self.ended()
        except ConnectionResetError:
            return True

    def get(self, target: str, *headers: str, method: str = "GET") -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: edge.example", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode())
        return self.answer(to_head=method == "HEAD")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


class RunningEdge:
    """run_edge in a thread of its own, on port 0."""

    def __init__(self, config: EdgeConfig | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.config = config or EdgeConfig(heartbeat_ms=20, event_header=True, append_timeout_ms=PATIENT_MS)
        self.clock = clock
        self.writer = MemoryWriter()
        self.run: Callable[..., Awaitable[None]] = run_edge
        self.replica = DictReplica()
        self.beats = 0
        self.error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:
            self.error = error
            self._ready.set()

    async def _serve(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port: int = listener.getsockname()[1]
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        await self.run(
            self.config, self.replica, self.writer, EDGE_ID, self.clock, listener,
            self._stop, self._ready.set, self._beat,
        )  # fmt: skip

    def _beat(self) -> None:
        self.beats += 1

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        assert self.error is None, self.error
        wait_until(lambda: self.beats > 0, "the first beat")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.flowing.set()
        self.stop()
        if error is None:
            assert self.error is None, self.error

    def begin_stop(self) -> None:
        """Ask it to stop."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)

    def stop(self) -> None:
        """Ask it to stop, and wait for that."""
        self.begin_stop()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def client(self, source: str = "127.0.0.1") -> RawClient:
        return RawClient(self.port, source)

    def get(self, target: str, *headers: str, method: str = "GET", source: str = "127.0.0.1") -> Answer:
        """Ask one thing on a connection of its own."""
        with self.client(source) as client:
            return client.get(target, *headers, method=method)

    def metric(self, name: str) -> float:
        """Give one metric, named with its labels and without its prefix."""
        for line in self.get("/-/metrics").body.decode().splitlines():
            if line.startswith(f"adtally_edge_{name} "):
                return float(line.rpartition(" ")[2])
        raise AssertionError(f"there is no metric {name}")

    def advance(self, seconds: float) -> None:
        """Move a ManualClock, and wait until the edge has seen it."""
        assert isinstance(self.clock, ManualClock)
        before = self.beats
        self.clock.ms += int(seconds * 1_000)
        self.clock.s += seconds
        wait_until(lambda: self.beats > before, "a beat after the clock moved")

    def closing(self) -> Closing:
        """Give the last record, which must be a closing one."""
        last = self.writer.records[-1]
        assert isinstance(last, Closing), last
        return last
