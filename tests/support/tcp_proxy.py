"""A network that misbehaves: a proxy in front of a port, whose way of passing bytes on can be changed at any time."""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from typing import Literal, Self

Mode = Literal["pass", "slow", "cut", "silent", "deaf"]
"""`slow`: each piece waits. `cut`: connections are reset in the middle of what they say. `silent`: nothing passes, and
nothing is closed, until the mode changes. `deaf`: questions pass, and answers do not."""

MODES: tuple[Mode, ...] = ("slow", "cut", "silent", "deaf")
PIECE_BYTES = 4_096


class TcpProxy:
    """Listens on `port`, and passes on to another port of this host. Use it as a context."""

    def __init__(self, to_port: int, rnd: random.Random, delay_s: float = 0.2) -> None:
        self.port = 0
        self.pieces: Counter[Mode] = Counter()
        """How many pieces met each mode."""
        self._to_port = to_port
        self._rnd = rnd
        self._delay_s = delay_s
        self._mode: Mode = "pass"
        self._changed = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def set_mode(self, mode: Mode) -> None:
        """Pass bytes on like this from now on; connections that were mistreated are reset."""
        asyncio.run_coroutine_threadsafe(self._set_mode(mode), self._loop).result(60)

    async def _set_mode(self, mode: Mode) -> None:
        self._mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        self._server.close()
        # Who was accepted just now gets his task, which closes what it was given.
        await asyncio.sleep(0.05)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
        except BaseException as error:
            reset(writer)
            self._tasks.discard(task)
            if isinstance(error, OSError):
                return
            raise
        ways = [
            asyncio.ensure_future(self._carry(reader, back, answers=False)),
            asyncio.ensure_future(self._carry(there, writer, answers=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            reset(writer)
            reset(back)
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool) -> None:
        """Carry one direction's bytes until somebody ends it, or the mode does."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                self.pieces[self._mode] += 1
                if self._mode == "silent" or (self._mode == "deaf" and answers):
                    await self._changed.wait()
                    return
                if self._mode == "slow":
                    await asyncio.sleep(self._delay_s)
                if self._mode == "cut" and self._rnd.random() < 0.5:
                    writer.write(piece[: self._rnd.randrange(len(piece))])
                    await writer.drain()
                    return
                writer.write(piece)
                await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection without a goodbye."""
    with contextlib.suppress(OSError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
