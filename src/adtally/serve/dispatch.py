"""From an HTTP request to a handler's call and back: key, permission, rate, parameters, body, in this order."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adtally.serve.auth import ForbiddenError, KeyRing, bearer_key
from adtally.serve.body import decode_json, read_body
from adtally.serve.caller import Call, Caller
from adtally.serve.endpoint import NO_BODY, Download, Endpoint, Following, Lines, NoBody, PoolName, Streamed
from adtally.serve.hub import MEDIA_TYPE as LIVE_MEDIA_TYPE
from adtally.serve.hub import LiveHub
from adtally.serve.pool import Pool
from adtally.serve.query import QueryParser
from adtally.serve.ratelimit import RateLimit
from adtally.serve.services import Services
from adtally.serve.standing import LedgerWatch

REGISTRY_THREADS: Final = 2
NO_STORE: Final[dict[str, str]] = {"Cache-Control": "no-store"}
"""Answers are of one key's owner; nobody in between may keep them."""

_EVENT_ID: Final = re.compile(r"[0-9]{1,15}")
_encode: Final = msgspec.json.Encoder().encode


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

    def __init__(self, services: Services, watch: LedgerWatch) -> None:
        self._services = services
        self._watch = watch
        self._keys = KeyRing(services.registry, services.clock)
        self._limit = RateLimit(services.config.requests_per_minute, services.clock)
        # Changes one at a time: what one reads before it writes, no other has changed.
        self.pools: Mapping[PoolName, Pool] = {
            "olap": Pool("olap", services.config.reader_threads),
            "registry": Pool("registry", REGISTRY_THREADS),
            "changes": Pool("changes", 1),
        }
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

    async def _answer(self, request: Request, endpoint: Endpoint[Any, Any], parser: QueryParser[Any]) -> Response:
        caller = await self._caller(request)
        if endpoint.who == "admin" and not caller.is_admin:
            raise ForbiddenError(f"{endpoint.method} {endpoint.path} needs an admin's key")
        self._limit.take(caller.key_id)
        params = parser(request.scope["query_string"], request.path_params)
        body: object = NO_BODY
        if endpoint.body is not NoBody:
            raw = await read_body(request, endpoint.body_bytes_max)
            body = Lines(raw) if endpoint.body is Lines else decode_json(raw, endpoint.body)
        pool = self.pools[endpoint.pool]
        call = Call(self._services, self._watch, caller, params, body, self._services.clock.now_ms())
        answer = await pool.run(_respond, endpoint, call, pool)
        return self._follow(request, caller, answer) if isinstance(answer, Following) else answer

    def _follow(self, request: Request, caller: Caller, following: Following) -> Response:
        if request.method == "HEAD":
            return Response(None, 200, NO_STORE, LIVE_MEDIA_TYPE)
        last = request.headers.get("last-event-id", "")
        last_event_ms = int(last) if _EVENT_ID.fullmatch(last) else None
        return self.live.follow(following.scope, caller.key_id, last_event_ms, lambda: self._caller(request))

    async def _caller(self, request: Request) -> Caller:
        key = bearer_key(request.headers.get("authorization"))
        found = self._keys.remembered(key)
        if found is None:
            found = await self.pools["registry"].run(self._keys.look_up, key)
        return Caller(found.key_id, found.advertiser_id)


def _respond(endpoint: Endpoint[Any, Any], call: Call[Any, Any], pool: Pool) -> Response | Following:
    handler: Callable[[Call[Any, Any]], object] = endpoint.handler
    answer = handler(call)
    if isinstance(answer, Following):
        return answer
    if isinstance(answer, Download):
        return Response(answer.content, endpoint.status, _file_headers(answer.file_name), answer.media_type)
    if isinstance(answer, Streamed):
        headers = NO_STORE if answer.file_name is None else _file_headers(answer.file_name)
        return StreamingResponse(_pulled(answer.chunks, pool), endpoint.status, headers, answer.media_type)
    return Response(_encode(answer), endpoint.status, NO_STORE, "application/json")


def _file_headers(file_name: str) -> dict[str, str]:
    return NO_STORE | {"Content-Disposition": f'attachment; filename="{file_name}"'}


async def _pulled(chunks: Iterator[bytes], pool: Pool) -> AsyncIterator[bytes]:
    """Make each chunk in a thread when the one before has been sent: a slow reader costs no memory."""
    while (chunk := await pool.run(next, chunks, None)) is not None:
        yield chunk
