"""Around every request: its id, the security headers, the counts, and an answer whatever happens inside."""

import secrets
import traceback
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adtally.clock import Clock
from adtally.serve.meter import Meter
from adtally.serve.problems import problem_response
from adtally.telemetry import log

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NO_ROUTE: Final = "(none)"

_REQUEST_ID: Final = "adtally.request_id"
_MORE_FIELDS: Final = "adtally.more_fields"
_HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_REVALIDATE: Final = (b"cache-control", b"no-cache")


class Frame:
    """The outermost of our layers, as an ASGI application around the others."""

    def __init__(self, app: ASGIApp, clock: Clock, meter: Meter) -> None:
        self._app = app
        self._clock = clock
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = self._clock.monotonic_s()
        request_id = scope[_REQUEST_ID] = secrets.token_hex(8)
        status = 0

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), *_HEADERS, (b"x-request-id", request_id.encode())]
                headers += scope.get(_MORE_FIELDS, ())
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append(_REVALIDATE)
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_framed)
        except Exception as error:
            # As text: a logger that shows local variables would show the caller's key.
            told = traceback.format_exc()
            log.error("a request failed", request_id=request_id, path=scope["path"], traceback=told)
            if status:
                # Too late for another answer: the server cuts the connection, so that nobody takes it for whole.
                raise
            await problem_response(error, request_id)(scope, receive, send_framed)
        finally:
            route = getattr(scope.get("route"), "path_format", NO_ROUTE)
            self._meter.observe(route, status, self._clock.monotonic_s() - begun_s)


def add_fields(request: Request, fields: list[tuple[bytes, bytes]]) -> None:
    """Have header fields sent with the answer to a request, whatever it will be, a refusal too."""
    request.scope[_MORE_FIELDS] = fields


def request_id_of(request: Request) -> str:
    """Give the id that Frame gave to the request."""
    return str(request.scope[_REQUEST_ID])
