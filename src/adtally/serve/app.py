"""The API and the page as one ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response

from adtally.errors import AdtallyError, StoreUnavailableError
from adtally.serve.dispatch import Dispatcher
from adtally.serve.docs import docs_routes
from adtally.serve.endpoints import ENDPOINTS
from adtally.serve.frame import Frame, request_id_of
from adtally.serve.link import Link
from adtally.serve.meter import Meter
from adtally.serve.operations import operations_routes
from adtally.serve.pages import page_routes
from adtally.serve.problems import INTERNAL, kind_of, problem_response
from adtally.serve.rendering import COMPRESSED_BYTES_MIN
from adtally.serve.services import Services
from adtally.serve.sign_in import sign_in_routes
from adtally.serve.standing import LedgerWatch
from adtally.telemetry import log

__all__ = ["Services", "build_app"]

COMPRESSED_IN_THREAD_BYTES_MIN: Final = 16 * 1_024
"""From here on compressing takes about a millisecond, in which the event loop would answer nobody."""


def build_app(services: Services) -> Starlette:
    """Give the application. Its lifespan, where the server runs one, ends the threads that it started.

    `state.end_streams` ends the answers that do not end by themselves: to be called when the server begins to stop.
    """
    watch = LedgerWatch(services.ledger)
    meter = Meter(services, watch)
    dispatcher = Dispatcher(services, watch, meter)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        dispatcher.uses.start()
        yield
        dispatcher.close()

    api = [
        dispatcher.route(path, {endpoint.method: endpoint for endpoint in endpoints})
        for path, endpoints in groupby(ENDPOINTS, lambda endpoint: endpoint.path)
    ]
    operations = operations_routes(
        services.ready, meter, dispatcher.pools["registry"], metrics_public=services.config.metrics_public
    )
    links = sign_in_routes(Link(services.link, services.clock), dispatcher.sessions, dispatcher.pools["registry"])
    app = Starlette(
        routes=[*api, *operations, *links, *docs_routes(ENDPOINTS), *page_routes()],
        middleware=[
            Middleware(Frame, clock=services.clock, meter=meter),
            Middleware(
                GZipMiddleware,
                minimum_size=COMPRESSED_BYTES_MIN,
                compresslevel=6,
                thread_minimum_size=COMPRESSED_IN_THREAD_BYTES_MIN,
            ),
        ],
        exception_handlers={HTTPException: _refuse, AdtallyError: _refuse},
        lifespan=lifespan,
    )
    app.state.end_streams = dispatcher.live.close
    # An address has one form; a redirect would hide that a caller has the other.
    app.router.redirect_slashes = False
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    if kind_of(error) is INTERNAL:
        raise error
    if isinstance(error, StoreUnavailableError):
        log.warning("a store does not answer", request_id=request_id_of(request), error=str(error))
    return problem_response(error, request_id_of(request))
