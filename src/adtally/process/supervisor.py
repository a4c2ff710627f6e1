"""The supervisor behind `adtally up`: starts the children, restarts what dies, ends them in order.

Children inherit the listening sockets, so that no connection is refused while one of them is restarted, and end when
the pipe to their supervisor closes, so that none is left behind by a killed supervisor.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import sys
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec

from adtally import __version__, wiring
from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.errors import AdtallyError, DataFolderError
from adtally.folder import DataFolder, RunInfo, replace_file
from adtally.process.child import ChildSpec
from adtally.process.sockets import answers, listen, url_of
from adtally.registry.keys import key_id_of
from adtally.serve.link import LinkSpec, make_link
from adtally.telemetry import log

SILENT_S_MAX: Final = 5.0
WATCH_S: Final = 0.5
STOP_S_MAX: Final = 10.0
PREDECESSOR_S_MAX: Final = 15.0
"""A child whose supervisor was killed ends within EXIT_S_MAX (child.py), but not while a sync holds it."""
READY_S_MAX: Final = 180.0
"""A start that gives up serves nobody, and a machine that is busy with other things may take long."""
RESTART_DELAYS_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
CRASH_LOOP_S: Final = 60.0
CRASH_LOOP_DEATHS: Final = 4
"""So many deaths within CRASH_LOOP_S are reported as a crash loop."""


class Child:
    """One child process, restarted until it is told to stop."""

    def __init__(self, name: str, spec: ChildSpec, supervisor: "Supervisor") -> None:
        self.name = name
        self.spec = spec
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.restarts = 0
        self.crash_loop_ms: int | None = None
        self.last_error = ""
        self._supervisor = supervisor
        self._heard_s = 0.0
        self._stopping = False
        self._deaths: deque[float] = deque(maxlen=CRASH_LOOP_DEATHS)

    async def run(self) -> None:
        """Start the process, and start it again whenever it ends, until `stop`."""
        while not self._stopping:
            await self._start()
            assert self.process is not None
            watcher = asyncio.create_task(self._kill_when_silent())
            await self._listen()
            code = await self.process.wait()
            watcher.cancel()
            self.ready.clear()
            await self._pause(code)

    async def stop(self) -> None:
        """Tell the process to end, and kill it if it does not."""
        self._stopping = True
        if self.process is None or self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S_MAX)
        except TimeoutError:
            log.error("did not stop in time and was killed", child=self.name)
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    @property
    def crash_looping(self) -> bool:
        """True if it died again and again within a minute."""
        return len(self._deaths) == CRASH_LOOP_DEATHS and self._deaths[-1] - self._deaths[0] < CRASH_LOOP_S

    async def _start(self) -> None:
        self._heard_s = SYSTEM_CLOCK.monotonic_s()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "adtally.process.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=self.spec.descriptors,
        )
        assert self.process.stdin is not None
        # The pipe stays open for as long as the supervisor lives.
        self.process.stdin.write(msgspec.json.encode(self.spec) + b"\n")
        self.spec = msgspec.structs.replace(self.spec, link=None)
        self._supervisor.write_run_info()

    async def _listen(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self._heard_s = SYSTEM_CLOCK.monotonic_s()
            message: dict[str, Any] = msgspec.json.decode(line)
            self.last_error = str(message.get("error", self.last_error))
            if "ready" in message:
                self.ready.set()

    async def _kill_when_silent(self) -> None:
        await self.ready.wait()
        looked_s = SYSTEM_CLOCK.monotonic_s()
        while True:
            await asyncio.sleep(WATCH_S)
            now_s = SYSTEM_CLOCK.monotonic_s()
            if now_s - looked_s > SILENT_S_MAX / 2:
                # It was frozen itself: what the child said meanwhile is still to be read.
                self._heard_s = now_s
            looked_s = now_s
            if now_s - self._heard_s > SILENT_S_MAX and not self._stopping:
                log.error("silent for too long, killed", child=self.name)
                with contextlib.suppress(ProcessLookupError):
                    assert self.process is not None
                    self.process.kill()
                return

    async def _pause(self, code: int) -> None:
        """Report a death and wait a little before the restart, longer where deaths pile up."""
        if self._stopping:
            return
        self.restarts += 1
        now_s = SYSTEM_CLOCK.monotonic_s()
        self._deaths.append(now_s)
        recent = sum(1 for death_s in self._deaths if now_s - death_s < CRASH_LOOP_S)
        delay_s = RESTART_DELAYS_S[min(recent - 1, len(RESTART_DELAYS_S) - 1)]
        if self.crash_looping:
            self.crash_loop_ms = SYSTEM_CLOCK.now_ms()
        report = log.error if self.crash_looping else log.warning
        message = "crash loop: see this process's own lines above" if self.crash_looping else "ended, is restarted"
        report(message, child=self.name, exit_code=code, restarts=self.restarts, delay_s=delay_s)
        await asyncio.sleep(delay_s)


class Supervisor:
    """One embedded system on one data folder."""

    def __init__(self, folder: DataFolder, config: Config) -> None:
        self.folder = folder
        self.config = config
        self.children: dict[str, Child] = {}
        self.click_url = ""
        self.api_url = ""
        self.sign_in_url = ""
        """Opens the page signed in as the admin, once and for ten minutes; "" where the admin's key is none."""
        self._started_ms = SYSTEM_CLOCK.now_ms()
        self._sockets: list[socket.socket] = []
        self._predecessor_died = folder.run_info.exists()

    async def run(self, stop: asyncio.Event, on_ready: "asyncio.Future[None] | None" = None) -> None:
        """Run until `stop` is set; `on_ready` is resolved once both addresses answer. Raises AdtallyError."""
        await self._prepare()
        tasks = [asyncio.create_task(child.run()) for child in self.children.values()]
        try:
            await self._until_ready(stop)
            if on_ready is not None and not stop.is_set():
                on_ready.set_result(None)
            await stop.wait()
        finally:
            # In the order in which data flows, so that each still finds the next one there.
            for prefix in ("edge-", "counter", "store"):
                await asyncio.gather(*(c.stop() for name, c in self.children.items() if name.startswith(prefix)))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.folder.run_info.unlink(missing_ok=True)
            for sock in self._sockets:
                sock.close()

    def write_run_info(self) -> None:
        """Tell other commands where this system is reached."""
        children = self.children.items()
        info = RunInfo(
            supervisor_pid=os.getpid(),
            click_url=self.click_url,
            api_url=self.api_url,
            version=__version__,
            started_ms=self._started_ms,
            pids={name: child.process.pid for name, child in children if child.process is not None},
            restarts={name: child.restarts for name, child in children},
            crash_loops_ms={name: child.crash_loop_ms for name, child in children if child.crash_loop_ms is not None},
        )
        replace_file(self.folder.run_info, msgspec.json.encode(info))

    async def _prepare(self) -> None:
        folder, config = self.folder, self.config
        self._first_key()
        metrics = folder.run / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(parents=True)
        workers = config.edge.workers or max(1, (os.cpu_count() or 1) // 2)
        wiring.prepare_logs(folder, workers)
        wiring.follow_rules(folder, config)
        api = await self._listen(config.serve.host, config.serve.port, "--api-port")
        intake = await self._listen("127.0.0.1", 0, "")
        click_port, edges = config.edge.port, []
        for _ in range(workers):
            edges.append(await self._listen(config.edge.host, click_port, "--click-port", shared=True))
            click_port = edges[0].getsockname()[1]
        self.click_url, self.api_url, live_url = url_of(edges[0]), url_of(api), url_of(intake)
        token = secrets.token_urlsafe(32)
        data_dir = str(folder.root)
        sockets = (api.fileno(), intake.fileno())
        store = ChildSpec("store", 0, data_dir, config, sockets, self.click_url, token=token, link=self._make_link())
        counter = ChildSpec("counter", 0, data_dir, config, live_url=live_url, token=token)
        self.children = {"store": Child("store", store, self), "counter": Child("counter", counter, self)}
        for index, sock in enumerate(edges):
            name = f"edge-{index}"
            self.children[name] = Child(name, ChildSpec("edge", index, data_dir, config, (sock.fileno(),)), self)

    def _first_key(self) -> None:
        if not self.folder.admin_key.exists() or not self.folder.registry.exists():
            key = wiring.open_registry(self.folder, self.config).create_key(None, SYSTEM_CLOCK.now_ms()).key
            replace_file(self.folder.admin_key, f"{key}\n".encode(), mode=0o600)

    def _make_link(self) -> LinkSpec | None:
        key_id = key_id_of(self.folder.admin_key.read_text(encoding="utf-8", errors="replace").strip())
        if key_id is None:
            return None
        path, spec = make_link(key_id, SYSTEM_CLOCK.now_ms())
        self.sign_in_url = self.api_url + path
        return spec

    async def _listen(self, host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
        deadline_s = SYSTEM_CLOCK.monotonic_s() + PREDECESSOR_S_MAX
        while True:
            try:
                sock = listen(host, port, flag, shared=shared)
            except AdtallyError:
                # After a kill of the supervisor alone, its children still end; otherwise somebody else has the port.
                if not self._predecessor_died or SYSTEM_CLOCK.monotonic_s() > deadline_s:
                    raise
                await asyncio.sleep(0.1)
            else:
                self._sockets.append(sock)
                return sock

    async def _until_ready(self, stop: asyncio.Event) -> None:
        deadline_s = SYSTEM_CLOCK.monotonic_s() + READY_S_MAX
        while not stop.is_set():
            if (
                await answers(self.click_url)
                and await answers(self.api_url)
                and self.children["counter"].ready.is_set()
            ):
                return
            failed = [child for child in self.children.values() if child.crash_looping]
            if failed or SYSTEM_CLOCK.monotonic_s() > deadline_s:
                waiting = failed or [child for child in self.children.values() if not child.ready.is_set()]
                why = "; ".join(f"{child.name}: {child.last_error or 'does not get ready'}" for child in waiting)
                raise AdtallyError(f"the system does not start: {why or 'it does not answer that it is ready'}")
            await asyncio.sleep(0.05)


async def start(supervisor: Supervisor) -> tuple[asyncio.Task[None], asyncio.Event]:
    """Start a system that SIGTERM and Ctrl-C end, and wait until it is ready or has failed.

    Give its task, which raises AdtallyError where it does not start, and the event that ends it.
    """
    loop = asyncio.get_running_loop()
    stop, ready = asyncio.Event(), loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.create_task(supervisor.run(stop, ready))
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    return running, stop


def open_folder(path: Path) -> tuple[DataFolder, int]:
    """Make or check a data folder and lock it for this process. Raises DataFolderError."""
    folder = DataFolder(path)
    try:
        folder.prepare()
    except OSError as error:
        raise DataFolderError(f"{path} cannot be used as the data folder: {error}") from None
    return folder, folder.take_lock()
