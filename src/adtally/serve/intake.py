"""Takes the stream's rows in: an application of its own, on a loopback address that only the stream is told."""

import hmac
from typing import Final

import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adtally.errors import StoreUnavailableError
from adtally.olap.port import OlapWriter
from adtally.serve.progress import Progress
from adtally.stream.delivery import LIVE_PATH
from adtally.stream.port import LiveFlush
from adtally.telemetry import log

_decode: Final = msgspec.msgpack.Decoder(LiveFlush).decode


def build_intake(writer: OlapWriter, progress: Progress, token: str) -> Starlette:
    """Give the application that stores flushes and notes how far the stream has come."""
    expected = f"Bearer {token}".encode()

    async def take(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            return PlainTextResponse("wrong token\n", 403)
        try:
            flush = _decode(await request.body())
        except msgspec.MsgspecError as error:
            return PlainTextResponse(f"not a flush: {error}\n", 400)
        try:
            await anyio.to_thread.run_sync(writer.append_live, flush.rows)
        except StoreUnavailableError as error:
            log.error("live rows were not stored", error=str(error))
            return PlainTextResponse("the store does not take rows now\n", 503)
        progress.update(flush.report)
        return Response(status_code=204)

    return Starlette(routes=[Route(LIVE_PATH, take, methods=["POST"])])
