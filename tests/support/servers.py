"""The real servers of a test run: one of each kind, started when it is first needed, gone at the run's end."""

from pathlib import Path
from typing import TypeVar

from deploy.local.server import Server

S = TypeVar("S", bound=Server)


class Servers:
    """Starts servers below a folder, each kind once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[type[Server], Server] = {}

    def running(self, kind: type[S]) -> S:
        """Give the running server of a kind, started if need be; one that a test has killed is started again."""
        server = self._running.get(kind)
        if server is None:
            server = self._running[kind] = kind(self._folder / kind.__name__.lower())
        if not server.alive:
            server.start()
        assert isinstance(server, kind)
        return server

    def close(self) -> None:
        """Stop all, the last first."""
        for server in reversed(self._running.values()):
            server.stop()
