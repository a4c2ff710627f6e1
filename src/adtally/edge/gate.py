"""Takes connections from a listening socket, or leaves them with the kernel, where those who wait cost nothing.

Taking a connection and closing it costs about as much as answering a click: a worker that refuses by hand what is too
much does nothing else in the end (docs/decisions/0024-the-kernel-keeps-who-is-too-many.md).
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

BACKLOG: Final = 4_096
"""Connections that the kernel keeps, with what they ask, before it leaves new ones without an answer."""


class Gate:
    """Open or shut: the socket listens in both cases."""

    def __init__(self, sock: socket.socket, connection: Callable[[], asyncio.Protocol]) -> None:
        """`connection` makes what talks to each connection that is taken."""
        self._sock: Final = sock
        self._connection: Final = connection
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Take connections, those first that wait already. Raises OSError."""
        if self._server is None:
            # A copy of the descriptor: closing it does not end the listening.
            copy = self._sock.dup()
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, sock=copy, backlog=BACKLOG)

    def shut(self) -> None:
        """Take no more connections; those that were taken are not touched."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def end(self) -> None:
        """Shut for good, and let go of the socket: where nobody else holds it, who waits or comes is refused."""
        self.shut()
        self._sock.close()
