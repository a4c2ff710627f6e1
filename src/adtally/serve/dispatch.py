"""From an HTTP request to a handler's call and back: key, permission, rate, parameters, body, in this order."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adtally.serve.auth import ForbiddenError, KeyRing, bearer_key
from adtally.serve.body import decode_json, read_body
from adtally.serve.caller import NOBODY, Call, Caller
from adtally.serve.endpoint import NO_BODY, Endpoint, Following, Lines, NoBody, PoolName
from adtally.serve.frame import add_fields
from adtally.serve.hub import MEDIA_TYPE as LIVE_MEDIA_TYPE
from adtally.serve.hub import LiveHub
from adtally.serve.key_uses import KeyUses
from adtally.serve.meter import Meter
from adtally.serve.once import IDEMPOTENCY_KEY, Once, idempotency_key
from adtally.serve.pool import Pool
from adtally.serve.query import QueryParser
from adtally.serve.ratelimit import RateLimit
from adtally.serve.rendering import NO_STORE, render, respond
from adtally.serve.services import Services
from adtally.serve.session_memory import MemorySessions
from adtally.serve.sessions import Sessions, peer_of, refuse_other_sites
from adtally.serve.shared import SharedAnswers
from adtally.serve.standing import LedgerWatch

REGISTRY_THREADS: Final = 2
_EVENT_ID: Final = re.compile(r"[0-9]{1,15}")


class AnyTextConvertor(Convertor[str]):
    """An id in a path: it may hold a slash, it may not be empty."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        """Give the text as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Give the text as it is."""
        return value


register_url_convertor("anytext", AnyTextConvertor())


class Dispatcher:
    """Runs endpoints: what they share is done here, once."""

    def __init__(self, services: Services, watch: LedgerWatch, meter: Meter) -> None:
        self._services = services
        self._watch = watch
        self.uses = KeyUses(services.registry, services.clock)
        self._keys = KeyRing(services.registry, services.clock, self.uses)
        store = services.sessions or MemorySessions()
        self.sessions = Sessions(store, self._keys, services.clock, secure=services.config.secure_cookie)
        self._limit = RateLimit(services.config.requests_per_minute, services.clock)
        # Changes one at a time: what one reads before it writes, no other has changed.
        self.pools: Mapping[PoolName, Pool] = {
            "olap": Pool("olap", services.config.reader_threads),
            "registry": Pool("registry", REGISTRY_THREADS),
            "changes": Pool("changes", 1),
        }
        self._once = Once(services.clock)
        self._shared = SharedAnswers(services.cache, self.pools, meter)
        self.live = LiveHub(services, watch, self.pools["olap"])

    def route(self, path: str, endpoints: Mapping[str, Endpoint[Any, Any]]) -> Route:
        """Give the route of an address from its endpoints by method."""
        parsers = {method: QueryParser(endpoint.params) for method, endpoint in endpoints.items()}

        async def answer(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await self._answer(request, endpoints[method], parsers[method])

        return Route(path.replace("}", ":anytext}"), answer, methods=list(endpoints))

    def close(self) -> None:
        """End the threads, after the calls that run."""
        for pool in self.pools.values():
            pool.close()
        self.uses.close()

    async def _answer(self, request: Request, endpoint: Endpoint[Any, Any], parser: QueryParser[Any]) -> Response:
        caller = NOBODY
        if endpoint.who == "anyone":
            refuse_other_sites(request, json_is_enough=endpoint.body is not NoBody)
        else:
            caller = await self._caller(request)
        if endpoint.who == "admin" and not caller.is_admin:
            raise ForbiddenError(f"{endpoint.method} {endpoint.path} needs an admin's key")
        if caller is not NOBODY:
            try:
                self._limit.take(caller.key_id)
            finally:
                add_fields(request, self._limit.header_fields(caller.key_id))
        params = parser(request.scope["query_string"], request.path_params)
        body: object = NO_BODY
        raw = b""
        if endpoint.body is not NoBody:
            raw = await read_body(request, endpoint.body_bytes_max)
            body = Lines(raw) if endpoint.body is Lines else decode_json(raw, endpoint.body)
        pool = self.pools[endpoint.pool]
        now_ms = self._services.clock.now_ms()
        head = request.method == "HEAD"
        call = Call(self._services, self._watch, caller, params, body, now_ms, peer_of(request), self.sessions, head)
        if endpoint.reads is not None:
            found = await self._shared.answer(endpoint, call)
        elif endpoint.repeatable and (name := idempotency_key(request.headers.getlist(IDEMPOTENCY_KEY))) is not None:
            # A body of many megabytes takes too long for the event loop.
            fingerprint = await self.pools["registry"].run(_fingerprint, request.scope["query_string"], raw)
            found = await self._once.answer(
                (caller.key_id, endpoint.path, name), fingerprint, lambda: pool.run(render, endpoint, call)
            )
        else:
            found = await pool.run(render, endpoint, call)
        if isinstance(found, Following):
            return self._follow(request, caller, found)
        return respond(found, endpoint, request.headers, pool)

    def _follow(self, request: Request, caller: Caller, following: Following) -> Response:
        if request.method == "HEAD":
            return Response(None, 200, NO_STORE, LIVE_MEDIA_TYPE)
        last = request.headers.get("last-event-id", "")
        last_event_ms = int(last) if _EVENT_ID.fullmatch(last) else None
        return self.live.follow(following.scope, caller.key_id, last_event_ms, lambda: self._caller(request))

    async def _caller(self, request: Request) -> Caller:
        """Give the owner of the key in the header or, where there is none, of the session that the cookie names."""
        authorization, token = request.headers.get("authorization"), peer_of(request).token
        if authorization is not None or token is None:
            key = bearer_key(authorization)
            found = self._keys.remembered(key)
            if found is None:
                found = await self.pools["registry"].run(self._keys.look_up, key)
        else:
            key_id = self.sessions.remembered(token)
            if key_id is None:
                key_id = await self.pools["registry"].run(self.sessions.look_up, token)
            refuse_other_sites(request)
            found = self._keys.remembered_id(key_id)
            if found is None:
                found = await self.pools["registry"].run(self._keys.look_up_id, key_id)
        return Caller(found.key_id, found.advertiser_id)


def _fingerprint(query: bytes, body: bytes) -> bytes:
    return blake2b(query + b"\n" + body).digest()
