"""HAProxy from Debian's packages, unpacked without root, with the configuration that operators are given."""

import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.local.installing import debian, installed
from deploy.local.server import Server, free_port

_PACKAGES: Final = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
_NAME: Final = "haproxy-debian"
TEMPLATE: Final = Path(__file__).parents[1] / "haproxy" / "haproxy.cfg"


class HAProxy(Server):
    """The front of a local cluster: `servers` are the addresses (host:port) of each backend's servers by name."""

    def __init__(self, folder: Path, servers: Mapping[str, Mapping[str, str]] | None = None) -> None:
        super().__init__(folder)
        self.servers = servers or {"edges": {}, "apis": {}}
        self.click_port = free_port()
        self.api_port = free_port()

    @classmethod
    def install(cls) -> None:
        """Fetch the packages."""
        _installation()

    def command(self) -> Sequence[str]:
        """Write the configuration, and give the command."""
        file = self.folder / "haproxy.cfg"
        file.write_text(self.configuration())
        return [str(_installation() / "usr" / "sbin" / "haproxy"), "-db", "-f", str(file)]

    def environment(self) -> Mapping[str, str]:
        """Let the program find the libraries that came with it."""
        found = sorted({str(file.parent) for file in _installation().rglob("*.so*")})
        return {"LD_LIBRARY_PATH": ":".join(found)}

    def ready(self) -> bool:
        """Tell whether both ports are listened on."""
        for port in (self.click_port, self.api_port):
            socket.create_connection(("127.0.0.1", port), 1).close()
        return True

    def configuration(self) -> str:
        """Give the operators' configuration with this cluster's addresses in it."""
        text = TEMPLATE.read_text()
        text = text.replace("bind 127.0.0.1:8080", f"bind 127.0.0.1:{self.click_port}")
        text = text.replace("bind 127.0.0.1:8081", f"bind 127.0.0.1:{self.api_port}")
        for backend, servers in self.servers.items():
            lines = "".join(f"  server {name} {address}\n" for name, address in servers.items())
            text = re.sub(rf"(?ms)(^backend {backend}\n.*?)(?:^  server .*?\n)+", rf"\g<1>{lines}", text)
        return text


def _installation() -> Path:
    return installed(_NAME, lambda folder: debian(folder, _PACKAGES))
