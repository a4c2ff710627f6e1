"""Answers that many may get: kept for a while, and made once while many ask the same."""

import asyncio
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from adtally import __version__
from adtally.errors import CacheError
from adtally.serve.cache.port import Cache
from adtally.serve.caller import Call
from adtally.serve.endpoint import Endpoint, PoolName
from adtally.serve.lifetimes import lifetime_s
from adtally.serve.meter import Meter
from adtally.serve.pool import Pool
from adtally.serve.rendering import Pieces, Rendered, Whole, render
from adtally.telemetry import log

KEY_BYTES: Final = 32


class Asked(msgspec.Struct, frozen=True):
    """A question as the cache knows it, and what the cache had."""

    key: bytes
    ttl_s: float
    kept: Whole | None


class SharedAnswers:
    """Answers questions from the cache, from another one's flight, or by a flight of its own. Lives in one event loop.

    Whoever asks must have been admitted: what is checked here is what the question names.
    """

    def __init__(self, cache: Cache, pools: Mapping[PoolName, Pool], meter: Meter) -> None:
        self._cache = cache
        self._pools = pools
        self._meter = meter
        self._flights: dict[bytes, asyncio.Task[Rendered]] = {}
        self._failing = False

    async def answer(self, endpoint: Endpoint[Any, Any], call: Call[Any, Any]) -> Rendered:
        """Give the answer. Raises what the handler raises, to all who wait for it."""
        # Not among the queries: what is kept must not wait behind them.
        asked = await self._pools["registry"].run(self._look, endpoint, call)
        if asked.kept is not None:
            self._meter.count_cache("hit")
            return asked.kept
        if call.head:
            # What HEAD gets of a file is no answer to GET.
            self._meter.count_cache("uncached")
            return await self._pools[endpoint.pool].run(render, endpoint, call)
        flight = self._flights.get(asked.key)
        if flight is None:
            self._meter.count_cache("miss" if asked.ttl_s > 0 else "uncached")
            return await asyncio.shield(self._begin(asked, endpoint, call))
        self._meter.count_cache("flight")
        found = await asyncio.shield(flight)
        if isinstance(found, Pieces):
            # Too long to be shared: its iterator belongs to who began.
            return await self._pools[endpoint.pool].run(render, endpoint, call)
        return found

    def _begin(self, asked: Asked, endpoint: Endpoint[Any, Any], call: Call[Any, Any]) -> asyncio.Task[Rendered]:
        flight = asyncio.create_task(self._pools[endpoint.pool].run(self._make, asked, endpoint, call))
        self._flights[asked.key] = flight
        flight.add_done_callback(lambda _: self._flights.pop(asked.key))
        return flight

    def _look(self, endpoint: Endpoint[Any, Any], call: Call[Any, Any]) -> Asked:
        """Check what the question names, and look it up. Blocks. Raises NotFoundError, StoreUnavailableError."""
        assert endpoint.reads is not None
        owners = _owners(call)
        span = endpoint.reads(call)
        # Before the tables are read: an answer may be newer than its key, and never older.
        standing = call.watch.look()
        runs = tuple(standing.finality.between(span.start_ms, span.end_ms))
        commit = standing.commit_between(span.start_ms, span.end_ms)
        question = (
            __version__, endpoint.path, call.caller.advertiser_id, owners, call.params, commit,
            [(run.end_ms, run.status, run.held, run.revision) for run in runs],
        )  # fmt: skip
        key = blake2b(msgspec.msgpack.encode(question, enc_hook=_plain), digest_size=KEY_BYTES).digest()
        ttl_s = lifetime_s(span, runs, call.now_ms, call.services.progress.as_of_ms)
        return Asked(key, ttl_s, self._kept(key) if ttl_s > 0 else None)

    def _kept(self, key: bytes) -> Whole | None:
        try:
            value = self._cache.get(key)
            found = None if value is None else msgspec.msgpack.decode(value, type=Whole)
        except (CacheError, msgspec.DecodeError) as error:
            self._failed(error)
            return None
        self._failing = False
        return found

    def _make(self, asked: Asked, endpoint: Endpoint[Any, Any], call: Call[Any, Any]) -> Rendered:
        found = render(endpoint, call)
        if isinstance(found, Whole) and asked.ttl_s > 0:
            try:
                self._cache.put(asked.key, msgspec.msgpack.encode(found), asked.ttl_s)
            except CacheError as error:
                self._failed(error)
        return found

    def _failed(self, error: Exception) -> None:
        self._meter.count_cache("error")
        # Once, not with each request: a cache that is away stays away for a while.
        if not self._failing:
            log.warning("the cache failed: answers are made without it", error=str(error))
        self._failing = True


def _owners(call: Call[Any, Any]) -> list[str]:
    """Give whom a question's ads and advertiser belong to. Raises NotFoundError if the caller may not see one."""
    registry, named = call.services.registry, call.params
    ads = _listed(getattr(named, "ad_id", None))
    owners = [call.caller.visible_ad(ad_id, registry).advertiser_id for ad_id in ads]
    for advertiser_id in _listed(getattr(named, "advertiser_id", None)):
        call.caller.tenant_for(advertiser_id, registry)
        owners.append(advertiser_id)
    return owners


def _listed(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _plain(value: object) -> object:
    """Give what an encoder does not know as something that it knows."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, ZoneInfo):
        return value.key
    raise TypeError(f"a parameter cannot be of type {type(value).__name__}")
