"""Takes connections from a listening socket, or leaves them with the kernel, where those who wait cost nothing.

Taking a connection and closing it costs about as much as answering a click: a worker that refuses by hand what is too
much does nothing else in the end (docs/decisions/0024-the-kernel-keeps-who-is-too-many.md).
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final

BACKLOG: Final = 4_096
"""Connections that the kernel keeps, with what they ask, before it leaves new ones without an answer."""
BACKLOG_MIN: Final = 64
QUEUE_S: Final = 1.0
"""How long a connection may be expected to wait in the kernel: who waits longer has often gone when it is served."""

_WAITING: Final = struct.Struct("=24xI")
"""`tcpi_unacked` of Linux's tcp_info: for a socket that listens, the connections in its queue (tcp(7), inet_diag)."""


class Gate:
    """Open or shut: the socket listens in both cases."""

    def __init__(self, sock: socket.socket, connection: Callable[[], asyncio.Protocol]) -> None:
        """`connection` makes what talks to each connection that is taken."""
        self._sock: Final = sock
        self._connection: Final = connection
        self._server: asyncio.Server | None = None
        self._backlog = BACKLOG
        self._taken = 0
        self._paced_s: float | None = None

    async def open(self) -> None:
        """Take connections, those first that wait already. Raises OSError."""
        if self._server is None:
            # A copy of the descriptor: closing it does not end the listening.
            copy = self._sock.dup()
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, sock=copy, backlog=self._backlog)

    def shut(self) -> None:
        """Take no more connections; those that were taken are not touched."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def pace(self, taken: int, now_s: float) -> None:
        """Bound the kernel's queue by what is taken from it in `QUEUE_S`, as long as more waits in it.

        `taken` connections were taken so far, `now_s` is monotonic; to be called a few times a second. Where the kernel
        does not tell how many wait, the queue stays as long as it was.
        """
        taken, self._taken = taken - self._taken, taken
        before_s, self._paced_s = self._paced_s, now_s
        waiting = self._waiting()
        if waiting is None or before_s is None or now_s <= before_s:
            return
        in_time = max(BACKLOG_MIN, int(taken / (now_s - before_s) * QUEUE_S))
        backlog = min(BACKLOG, in_time) if waiting > in_time // 2 else BACKLOG
        if backlog != self._backlog:
            self._backlog = backlog
            self._sock.listen(backlog)

    def _waiting(self) -> int | None:
        if not hasattr(socket, "TCP_INFO"):
            return None
        with contextlib.suppress(OSError, struct.error):
            found: tuple[int] = _WAITING.unpack(
                self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size)
            )
            return found[0]
        return None

    def end(self) -> None:
        """Shut for good, and let go of the socket: where nobody else holds it, who waits or comes is refused."""
        self.shut()
        self._sock.close()
