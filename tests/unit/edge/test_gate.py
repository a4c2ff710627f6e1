"""The queue in the kernel: it is as long as what is taken from it in time, and long again when nobody waits."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from adtally.edge.gate import BACKLOG, BACKLOG_MIN, Gate

SOMAXCONN = 128
"""Of an old Linux: less than it may be anywhere."""


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as sock:
        sock.setblocking(False)
        yield sock


def length_max(sock: socket.socket) -> int:
    """Give the bound of a queue as the kernel has it (tcpi_sacked of a socket that listens)."""
    found: tuple[int] = struct.unpack("=28xI", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32))
    return found[0]


@contextlib.contextmanager
def people(sock: socket.socket, number: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(socket.create_connection(sock.getsockname(), 5.0))
        yield


def test_a_queue_of_which_little_is_taken_becomes_short_and_long_again_when_it_is_empty(
    listening: socket.socket,
) -> None:
    gate = Gate(listening, asyncio.Protocol)
    whole = length_max(listening)
    gate.pace(0, 10.0)
    with people(listening, 100):
        gate.pace(20, 10.25)
        assert length_max(listening) == 80
        gate.pace(20, 10.5)
        assert length_max(listening) == BACKLOG_MIN
        for _ in range(100):
            listening.accept()[0].close()
        gate.pace(120, 10.75)
    assert length_max(listening) == whole >= SOMAXCONN


def test_a_queue_that_moves_fast_enough_stays_long(listening: socket.socket) -> None:
    gate = Gate(listening, asyncio.Protocol)
    whole = length_max(listening)
    gate.pace(0, 10.0)
    with people(listening, 100):
        gate.pace(1_000, 10.25)
        assert length_max(listening) == whole
