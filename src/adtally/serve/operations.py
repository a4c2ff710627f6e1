"""What operators' tools ask: is it alive, is it ready, its counts."""

import ipaddress
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adtally.serve.auth import ForbiddenError
from adtally.serve.meter import Meter
from adtally.serve.pool import Pool
from adtally.serve.problems import STORE_RETRY_AFTER_S

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests should be sent here, and if not, why."""

    ready: bool
    reasons: list[str]
    detail: str
    """All reasons as one text, where problem details have it."""


def operations_routes(ready: Callable[[], list[str]], meter: Meter, pool: Pool, *, metrics_public: bool) -> list[Route]:
    """Give the routes below /-/. What asks stores runs in a thread of `pool`."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        reasons = await pool.run(ready)
        answer = msgspec.json.encode(Readiness(not reasons, reasons, "; ".join(reasons)))
        fields = {"Cache-Control": "no-store"} | ({"Retry-After": str(STORE_RETRY_AFTER_S)} if reasons else {})
        return Response(answer, 503 if reasons else 200, fields, "application/json")

    async def metrics(request: Request) -> Response:
        if not (metrics_public or _is_loopback(request)):
            raise ForbiddenError("only this machine may read these: set serve.metrics_public to allow others")
        return Response(await pool.run(meter.exposition), media_type=METRICS_TYPE)

    return [Route("/-/healthz", healthz), Route("/-/readyz", readyz), Route("/-/metrics", metrics)]


def _is_loopback(request: Request) -> bool:
    if request.client is None:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
