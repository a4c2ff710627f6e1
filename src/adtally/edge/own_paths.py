"""What a worker says about itself (design section 6)."""

from collections.abc import Callable
from typing import Final

from adtally.config import EdgeConfig
from adtally.edge.clicks import Request
from adtally.edge.clients import Clients
from adtally.edge.responses import Status
from adtally.edge.stats import EdgeStats

PROMETHEUS_TEXT: Final = b"Content-Type: text/plain; version=1.0.0; charset=utf-8\r\n"


class OwnPaths:
    """Health, readiness and metrics; every other path but the click's is unknown."""

    def __init__(
        self,
        config: EdgeConfig,
        clients: Clients,
        stats: EdgeStats,
        ready: Callable[[], bool],
        publish: Callable[[], None],
    ) -> None:
        """`publish` brings `stats` up to date."""
        self._metrics_public: Final = config.metrics_public
        self._clients: Final = clients
        self._stats: Final = stats
        self._ready: Final = ready
        self._publish: Final = publish

    def answer(self, request: Request) -> tuple[Status, bytes, bytes]:
        """Give status, body and further header lines."""
        if request.path == b"/-/healthz":
            return 200, b"ok\n", b""
        if request.path == b"/-/readyz":
            if self._ready():
                return 200, b"ready\n", b""
            if self._stats.spool().full:
                return 503, b"the event log is away, and the spool is full\n", b"Retry-After: 1\r\n"
            return 503, b"the event log does not take clicks now\n", b"Retry-After: 1\r\n"
        if request.path != b"/-/metrics":
            self._stats.refused["unknown_path"] += 1
            return 404, b"no such path\n", b""
        client = self._clients.behind(request.peer, request.headers.get(b"x-forwarded-for"))
        if not self._metrics_public and not client.loopback:
            self._stats.refused["forbidden"] += 1
            return 403, b"metrics are for this host only (edge.metrics_public)\n", b""
        self._publish()
        return 200, self._stats.render(), PROMETHEUS_TEXT
