"""One server of a local cluster: a process group that is started, killed, frozen and stopped."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

START_S_MAX: Final = 300.0
STOP_S_MAX: Final = 60.0
"""Quiet machines take some seconds for either; one that has other work, many times as long."""
POLL_S: Final = 0.1
_PORTS: Final = range(16_000, 30_000)
"""Below those that Linux gives to outgoing connections (ip_local_port_range of ip(7))."""

_given: Final = set[int]()


class ServerError(Exception):
    """A server does not come up, or cannot be installed; the message names its log."""


class Server(ABC):
    """One server with a data folder of its own. Free ports are taken once, and kept over restarts.

    A subclass installs what it needs into `cache_folder()` in `install`, and tells its command and when it is ready.
    One that consists of several processes (three brokers) is made of several of these and overrides what it has to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = type(self).__name__.lower()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def install(cls) -> None:
        """Put the server's files into the cache folder, if they are not there. Raises ServerError."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Give the command that runs the server in the foreground; makes its configuration and data folder."""

    @abstractmethod
    def ready(self) -> bool:
        """Tell whether the server answers; exceptions mean that it does not yet."""

    def environment(self) -> Mapping[str, str]:
        """Give what the command's environment has besides this process's own."""
        return {}

    @property
    def log_file(self) -> Path:
        """Give the file that takes the server's output."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """Give the process's id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def alive(self) -> bool:
        """Tell whether it runs."""
        return self.pid is not None

    def start(self) -> None:
        """Install if need be, start, and return when it answers. Raises ServerError."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Install if need be and start, without waiting: several can come up at once."""
        self.install()
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.command()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                start_new_session=True,
            )  # fmt: skip

    def wait_ready(self) -> None:
        """Return when the server answers. Raises ServerError if it ends before, or takes too long."""
        deadline_s = time.monotonic() + START_S_MAX
        while True:
            if not self.alive:
                raise ServerError(f"{self.name} ended while it was starting: read {self.log_file}")
            with contextlib.suppress(Exception):
                if self.ready():
                    return
            if time.monotonic() > deadline_s:
                self.kill()
                raise ServerError(f"{self.name} did not answer within {START_S_MAX:g} s: read {self.log_file}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """End it at once (SIGKILL), with whatever it started."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """End it as an operator does (SIGTERM); killed if it does not end in time."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S_MAX)
            self.kill()

    def freeze(self) -> None:
        """Stop its execution (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def cache_folder() -> Path:
    """Give the folder that keeps downloads between runs: `$ADTALLY_CACHE`, else in the user's cache folder."""
    given = os.environ.get("ADTALLY_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adtally"


def free_port() -> int:
    """Give a port of the loopback address that nobody listens on now, and that was not given before.

    It is none of those that the system gives to outgoing connections: a server keeps its port while it is down, and
    then must find it free.
    """
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise ServerError(f"no port from {_PORTS.start} to {_PORTS.stop - 1} is free")
