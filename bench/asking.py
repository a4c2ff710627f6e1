"""A closed loop of clients that ask the API over kept connections, and how long the answers took."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import msgspec
import uvloop

from adtally.clock import SYSTEM_CLOCK
from adtally.traffic.histogram import Histogram
from bench.system import System

Question = tuple[str, dict[str, str]]
"""A path and its parameters."""


class Asked(msgspec.Struct, frozen=True):
    """What one closed loop saw."""

    p50_ms: float
    p99_ms: float
    requests: int
    rate: float
    """Requests a second, of all clients together."""

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, {self.rate:,.0f}/s"


def ask(system: System, key: str, questions: Iterator[Question], clients: int, seconds: float) -> Asked:
    """Have `clients` ask one question after the other for some seconds, or until there are no more.

    Raises SystemExit where one is refused.
    """
    return uvloop.run(_ask(system.run.api_url, key, questions, clients, seconds))


async def _ask(url: str, key: str, questions: Iterator[Question], clients: int, seconds: float) -> Asked:
    taken = Histogram()
    began_s = SYSTEM_CLOCK.monotonic_s()
    numbers = await asyncio.gather(*[_client(url, key, questions, taken, began_s + seconds) for _ in range(clients)])
    passed_s = SYSTEM_CLOCK.monotonic_s() - began_s
    found = taken.latencies()
    return Asked(found.p50_ms, found.p99_ms, sum(numbers), sum(numbers) / passed_s)


async def _client(url: str, key: str, questions: Iterator[Question], taken: Histogram, until_s: float) -> int:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 24)
    head = f"HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"
    asked = 0
    try:
        while (sent_s := SYSTEM_CLOCK.monotonic_s()) < until_s:
            question = next(questions, None)
            if question is None:
                break
            path, parameters = question
            writer.write(f"GET {path}?{urlencode(parameters)} {head}".encode())
            fields = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(fields))
            taken.add(int((SYSTEM_CLOCK.monotonic_s() - sent_s) * 1_000_000))
            if not fields.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{path} {parameters} was refused: {body.decode()}")
            asked += 1
    finally:
        writer.close()
    return asked


def _length(fields: bytes) -> int:
    _, _, rest = fields.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0])
