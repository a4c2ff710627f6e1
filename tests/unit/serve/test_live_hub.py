"""The hub of /v1/live by itself: heartbeats, slow readers, a store that is away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.types import Message

from adtally.config import ServeConfig
from adtally.errors import StoreUnavailableError
from adtally.olap.port import EVERYONE, AggregateQuery, AggregateRow
from adtally.serve.hub import LiveHub
from adtally.serve.pool import Pool
from adtally.serve.progress import Progress
from adtally.serve.scope import Scope
from adtally.serve.services import Services
from adtally.serve.standing import LedgerWatch
from support.memory_ledger import MemoryLedger
from support.serving import DEADLINE_S, SetClock


class Flaky:
    """Implements OlapReader: one click in the first minute, once `away` is over."""

    def __init__(self) -> None:
        self.away = 0
        self.clicks = 1

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("the store is away")
        return [AggregateRow((0,), self.clicks, 1)]


async def allowed() -> None:
    return None


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def run(
    test: Callable[[LiveHub, Flaky], Awaitable[None]], *, heartbeat_s: float = 60, slow_reader_s: float = 60
) -> None:
    reader, ledger, pool = Flaky(), MemoryLedger(), Pool("test", 1)
    services: Any = Services(
        reader=reader,
        registry=None,  # type: ignore[arg-type]
        ledger=ledger,
        clock=SetClock(),
        config=ServeConfig(),
        progress=Progress(),
        letters=None,  # type: ignore[arg-type]
        ready=list,
    )

    async def within_the_deadline() -> None:
        hub = LiveHub(services, LedgerWatch(ledger), pool, 0.005, heartbeat_s, slow_reader_s)
        async with asyncio.timeout(DEADLINE_S):
            await test(hub, reader)

    asyncio.run(within_the_deadline())
    pool.close()


def answer_until(hub: LiveHub, enough: Callable[[bytes], bool]) -> Awaitable[bytes]:
    """Follow until what was sent is enough; then the client goes."""
    got = bytearray()
    gone = asyncio.Event()

    async def send(message: Message) -> None:
        got.extend(message.get("body", b""))
        if enough(bytes(got)):
            gone.set()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def follow() -> bytes:
        await hub.follow(Scope(EVERYONE), "key", None, allowed)({"type": "http"}, receive, send)
        return bytes(got)

    return follow()


def test_without_changes_comments_keep_the_connection_open() -> None:
    async def test(hub: LiveHub, _: Flaky) -> None:
        got = await answer_until(hub, lambda got: got.count(b"\n: ") >= 3)
        assert got.count(b"event: minutes") == 1

    run(test, heartbeat_s=0.01)


def test_a_reader_that_takes_nothing_is_dropped_and_its_place_is_free() -> None:
    async def test(hub: LiveHub, reader: Flaky) -> None:
        async def stuck(message: Message) -> None:
            if b"event" in message.get("body", b""):
                await asyncio.Event().wait()

        await hub.follow(Scope(EVERYONE), "key", None, allowed)({"type": "http"}, never, stuck)
        assert hub._of_key.total() == 0
        assert hub._feeds == {}

    run(test, slow_reader_s=0.05)


def test_a_store_that_was_away_is_asked_again() -> None:
    async def test(hub: LiveHub, reader: Flaky) -> None:
        reader.away = 3
        got = await answer_until(hub, lambda got: b"event: minutes" in got)
        assert b'"clicks":1' in got

    run(test)


def test_nobody_is_asked_when_nobody_follows_any_more() -> None:
    async def test(hub: LiveHub, reader: Flaky) -> None:
        await answer_until(hub, lambda got: b"event: minutes" in got)
        assert hub._feeds == {}
        assert all(task is asyncio.current_task() or task.cancelling() for task in asyncio.all_tasks())

    run(test)


def test_the_place_of_one_who_left_before_the_first_event_is_free(tmp_path: Path) -> None:
    async def test(hub: LiveHub, reader: Flaky) -> None:
        reader.away = 1_000_000
        await answer_until(hub, lambda got: True)
        assert hub._of_key.total() == 0

    run(test)
