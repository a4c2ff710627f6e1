"""Listening sockets, made before the process that serves on them."""

import asyncio
import socket

from adtally.errors import AdtallyError

BACKLOG = 4_096


def listen(host: str, port: int, flag: str, *, shared: bool = False) -> socket.socket:
    """Give a listening socket; a `shared` one lets other processes listen on the same port.

    Raises AdtallyError that names `flag` as the way to choose another port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise AdtallyError(f"{host}:{port} cannot be used ({error.strerror}): choose another with {flag}") from None
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """Give the address under which this machine reaches a listening socket."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - not a bind, a comparison
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def answers(url: str) -> bool:
    """Tell whether `/-/readyz` answers 200."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            writer.write(b"GET /-/readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            line = await asyncio.wait_for(reader.readline(), 1.0)
        finally:
            writer.close()
    except (OSError, TimeoutError):
        return False
    return line.split(b" ")[1:2] == [b"200"]
