"""Who follows live minutes: one poll for all that follow the same, none of whom is buffered for.

A follower is compared with the newest snapshot whenever it can take an event. So one that reads slowly misses
intermediate states and costs no memory; one that takes nothing for SLOW_READER_S is dropped. All runs on the event
loop; questions to the store are asked in threads.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Send
from starlette.types import Scope as Asgi

from adtally.errors import AdtallyError, StoreUnavailableError
from adtally.serve.auth import UnauthenticatedError
from adtally.serve.live import LiveMinute, Snapshot, event_of, read_minutes, seen_by
from adtally.serve.pool import Pool
from adtally.serve.ratelimit import TooManyStreamsError
from adtally.serve.scope import Scope
from adtally.serve.services import Services
from adtally.serve.standing import LedgerWatch
from adtally.telemetry import log

POLL_S: Final = 1.0
HEARTBEAT_S: Final = 15.0
SLOW_READER_S: Final = 30.0
RETRY_MS: Final = 2_000
STREAMS_MAX: Final = 1_000
STREAMS_OF_KEY_MAX: Final = 20
FEEDS_MAX: Final = 100
"""Different things that are followed: each costs a query a second."""

MEDIA_TYPE: Final = "text/event-stream"

StillAllowed = Callable[[], Awaitable[object]]


class Feed:
    """One thing that is followed, and its newest snapshot."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.changed = asyncio.Event()
        """Set once, when the next snapshot is there or the feed ends; then another takes its place."""
        self.followers = 0
        self.task: asyncio.Task[None] | None = None

    def publish(self, snapshot: Snapshot | None) -> None:
        """Wake the followers."""
        if snapshot is not None:
            self.snapshot = snapshot
        woken, self.changed = self.changed, asyncio.Event()
        woken.set()


class LiveHub:
    """All feeds of one application."""

    def __init__(
        self,
        services: Services,
        watch: LedgerWatch,
        pool: Pool,
        poll_s: float = POLL_S,
        heartbeat_s: float = HEARTBEAT_S,
        slow_reader_s: float = SLOW_READER_S,
    ) -> None:
        self._services = services
        self._watch = watch
        self._pool = pool
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._slow_reader_s = slow_reader_s
        self._feeds: dict[Scope, Feed] = {}
        self._of_key: Counter[str] = Counter()
        self._ended = False

    def follow(
        self, scope: Scope, key_id: str, last_event_ms: int | None, still_allowed: StillAllowed
    ) -> StreamingResponse:
        """Give the answer that tells of a scope's minutes; `still_allowed` raises once the caller's key is not valid.

        Raises TooManyStreamsError for a key that has too many, StoreUnavailableError if there are too many at all.
        """
        if self._of_key[key_id] >= STREAMS_OF_KEY_MAX:
            raise TooManyStreamsError(STREAMS_OF_KEY_MAX)
        full = self._of_key.total() >= STREAMS_MAX or (scope not in self._feeds and len(self._feeds) >= FEEDS_MAX)
        if full or self._ended:
            raise StoreUnavailableError("too many live answers are open, or the server is about to stop")
        feed = self._feeds.get(scope)
        if feed is None:
            feed = self._feeds[scope] = Feed()
            feed.task = asyncio.create_task(self._poll(scope, feed))
        feed.followers += 1
        self._of_key[key_id] += 1

        def leave() -> None:
            self._of_key[key_id] -= 1
            if not self._of_key[key_id]:
                del self._of_key[key_id]
            feed.followers -= 1
            if not feed.followers:
                self._feeds.pop(scope, None)
                if feed.task is not None:
                    feed.task.cancel()

        return EventStream(self._events(feed, last_event_ms, still_allowed), leave, self._slow_reader_s)

    def close(self) -> None:
        """End all answers, so that a server that stops need not wait for them; others are refused from now on."""
        self._ended = True
        for feed in self._feeds.values():
            feed.publish(None)

    async def _poll(self, scope: Scope, feed: Feed) -> None:
        told = False
        while True:
            try:
                snapshot = await self._pool.run(read_minutes, self._services, self._watch, scope)
                told = False
                if feed.snapshot is None or snapshot.minutes != feed.snapshot.minutes:
                    feed.publish(snapshot)
            except AdtallyError as error:
                if not told:
                    log.warning("live minutes cannot be read", error=str(error))
                told = True
            await asyncio.sleep(self._poll_s)

    async def _events(self, feed: Feed, last_event_ms: int | None, still_allowed: StillAllowed) -> AsyncIterator[bytes]:
        yield b"retry: %d\n\n" % RETRY_MS
        seen: dict[int, LiveMinute] | None = None
        while not self._ended:
            changed, snapshot = feed.changed, feed.snapshot
            if snapshot is not None:
                if seen is None:
                    seen = {} if last_event_ms is None else seen_by(snapshot, last_event_ms)
                event = event_of(snapshot, seen)
                seen = snapshot.minutes
                if event is not None:
                    if not await _is_allowed(still_allowed):
                        return
                    yield event
            try:
                await asyncio.wait_for(changed.wait(), self._heartbeat_s)
            except TimeoutError:
                if not await _is_allowed(still_allowed):
                    return
                yield b": nothing has changed\n\n"


async def _is_allowed(still_allowed: StillAllowed) -> bool:
    try:
        await still_allowed()
    except UnauthenticatedError:
        return False
    except StoreUnavailableError:
        # Nobody knows; the next event asks again.
        return True
    return True


class EventStream(StreamingResponse):
    """An answer of events. `leave` is called once, when it has ended in whatever way."""

    def __init__(self, events: AsyncIterator[bytes], leave: Callable[[], None], slow_reader_s: float) -> None:
        super().__init__(events, headers={"Cache-Control": "no-store"}, media_type=MEDIA_TYPE)
        self._leave = leave
        self._slow_reader_s = slow_reader_s

    async def __call__(self, scope: Asgi, receive: Receive, send: Send) -> None:
        """Send events until the client goes, the server stops, or the client takes nothing for too long."""

        async def send_soon(message: Message) -> None:
            await asyncio.wait_for(send(message), self._slow_reader_s)

        try:
            # The answer stays unfinished then, so the server cuts the connection.
            with contextlib.suppress(TimeoutError):
                await super().__call__(scope, receive, send_soon)
        finally:
            self._leave()
