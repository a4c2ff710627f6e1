"""The HTTP server around an application: ends what would never end by itself before it waits for what runs."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

GRACEFUL_S_MAX = 5


class Server(uvicorn.Server):
    """A server whose process handles the signals itself; `end_streams` is called when it begins to stop."""

    def __init__(self, app: Starlette, end_streams: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="auto",
            timeout_graceful_shutdown=GRACEFUL_S_MAX,
            ws="none",
            server_header=False,
        )
        super().__init__(config)
        self._end_streams = end_streams

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: no new connections, and an end to those that there are."""
        self._end_streams()
        await super().shutdown(sockets)
