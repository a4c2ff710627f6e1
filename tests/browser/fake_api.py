"""Stands in for the API process where a test needs it to fail or to be slow, with the answers of design section 6."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adtally.buckets import Granularity, bucket_end
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import InvalidValueError
from adtally.serve.ranges import whole_minutes
from browser.fake_clicks import FakeAd, FakeClicks, epoch_ms
from browser.fake_operator import FakeOperator
from browser.system import KnownAd

STATIC: Final = Path(__file__).parents[2] / "src" / "adtally" / "serve" / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
START_DEADLINE_S: Final = 60


def _problem(status: int, detail: str) -> JSONResponse:
    content = {"title": detail, "detail": detail, "status": status}
    return JSONResponse(content, status, media_type="application/problem+json")


def _json(content: object) -> JSONResponse:
    return JSONResponse(content)


def _check_range(request: Request) -> None:
    """Raise InvalidValueError for a range that the real API refuses."""
    asked, now_ms = _query(request), SYSTEM_CLOCK.now_ms()
    if "start" not in asked:
        return
    zone, grain = (
        ZoneInfo(asked.get("timezone", "UTC")),
        msgspec.convert(asked.get("granularity", "minute"), Granularity),
    )
    end_ms = epoch_ms(asked["end"])
    if request.url.path == "/v1/compare":
        grain = "month" if end_ms <= bucket_end(now_ms, "month", zone) else "week"
    whole_minutes(epoch_ms(asked["start"]), end_ms, now_ms, grain, zone)


def _query(request: Request) -> dict[str, str]:
    return dict(request.query_params)


class FakeApi:
    """Counts in memory. Tests read `asked`, the API's paths in order.

    They set `failing` to a status, `delay_s`, `holding` for as long as nothing shall be answered, `missing` to
    addresses that are not there, `live` for events of changes.
    """

    def __init__(self) -> None:
        self.url = ""
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.operator = FakeOperator()
        self.forget()

    def forget(self) -> None:
        """Be as new: no clicks, no trouble. The server, if it runs, goes on."""
        self.key = "adt_live_test_key"
        self.clicks = FakeClicks(
            [
                FakeAd("ad_spring", "Spring sale, wide banner"),
                FakeAd("ad_quiet", "Nobody has seen this one"),
                *(
                    FakeAd(f"ad_{number:03}", f"Autumn coats {number}", "autumn-2026", "borea")
                    for number in range(1, 41)
                ),
            ]
        )
        self.operator.forget()
        self.admin = True
        self.click_url = "http://127.0.0.1:18080"
        self.failing: int | None = None
        self.missing: set[str] = set()
        self.delay_s = 0.0
        self.holding = False
        self.live = False
        self.asked: list[str] = []

    @property
    def ads(self) -> list[KnownAd]:
        """Implements System."""
        return [KnownAd(ad.ad_id, ad.name) for ad in self.clicks.ads]

    def click(self, ad_id: str, user_id: str) -> None:
        """Count one click in the running minute."""
        self.click_at(ad_id, user_id, SYSTEM_CLOCK.now_ms())

    def click_at(self, ad_id: str, user_id: str, ts_ms: int, device: str = "desktop") -> None:
        """Count one click in the minute of `ts_ms`."""
        self.clicks.click_at(ad_id, user_id, ts_ms, device)

    def app(self) -> Starlette:
        """Give the application: the page, and the API behind the key."""
        routes = [
            Route("/", lambda _: FileResponse(STATIC / "index.html")),
            Mount("/assets", StaticFiles(directory=STATIC)),
            Route("/v1/session", self._session, methods=["GET", "POST", "DELETE"]),
            Route("/v1/ads", self._guarded(self._list_ads)),
            Route("/v1/ads/{ad_id}", self._guarded(self._show_ad)),
            Route("/v1/top", self._guarded(lambda request: _json({"top": self.clicks.top(_query(request))}))),
            Route("/v1/quality", self._guarded(lambda request: _json(self.clicks.quality(_query(request))))),
            Route("/v1/compare", self._guarded(lambda request: _json(self.clicks.compare(_query(request))))),
            Route("/v1/series", self._guarded(self._series)),
            Route("/v1/live", self._live),
            *(Route(path, self._guarded(handler)) for path, handler in self.operator.handlers().items()),
            Route("/v1/about", self._guarded(self._about)),
            Route("/metrics", self._guarded(self._metrics)),
        ]
        return Starlette(routes=routes, middleware=[Middleware(_Policy)])

    def start(self) -> None:
        """Serve on a free port of 127.0.0.1 until `stop`; nothing if it serves already."""
        self._serve(0)

    def start_again(self) -> None:
        """Serve where it served before."""
        self._serve(int(self.url.rpartition(":")[2]))

    def _serve(self, port: int) -> None:
        if self._server is not None:
            return
        listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(self.app(), log_level="warning", timeout_graceful_shutdown=5, timeout_keep_alive=600)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        deadline_s = SYSTEM_CLOCK.monotonic_s() + START_DEADLINE_S
        while not self._server.started:
            assert self._thread.is_alive(), "the fake API did not start"
            assert SYSTEM_CLOCK.monotonic_s() < deadline_s, f"the fake API did not start in {START_DEADLINE_S} s"
            self._thread.join(0.01)

    def stop(self) -> None:
        """End the server and wait for its thread."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = None

    def _guarded(self, handler: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self.asked.append(request.url.path)
            await asyncio.sleep(self.delay_s)
            while self.holding:  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.01)
            if request.cookies.get("adt_session") != self._token():
                return _problem(401, "no valid key")
            if self.failing is not None:
                return _problem(self.failing, "the store does not answer")
            if request.url.path in self.missing:
                return _problem(404, "no such address")
            try:
                _check_range(request)
            except InvalidValueError as error:
                return _problem(400, str(error))
            return handler(request)

        return endpoint

    def _token(self) -> str:
        return "session-of-" + self.key.removeprefix("adt_live_")

    async def _session(self, request: Request) -> Response:
        if self.failing is not None:
            return _problem(self.failing, "the store does not answer")
        if request.method != "GET" and request.headers.get("X-Adtally-Page") != "1":
            return _problem(403, "the page's header is missing")
        if request.method == "DELETE":
            return Response(None, 204, {"Set-Cookie": "adt_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"})
        if request.method == "GET":
            if request.cookies.get("adt_session") != self._token():
                return _problem(401, "no session")
            return JSONResponse(
                {"admin": self.admin, "advertiser_id": None if self.admin else "acme", "key_id": "0123456789"}
            )
        if (await request.json())["key"] != self.key:
            return _problem(401, "no valid key")
        return Response(None, 204, {"Set-Cookie": f"adt_session={self._token()}; Path=/; HttpOnly; SameSite=Strict"})

    def _list_ads(self, request: Request) -> Response:
        after = request.query_params.get("after", "")
        limit = int(request.query_params.get("limit", "100"))
        text = request.query_params.get("search", "").lower()
        behind = sorted(
            (
                ad
                for ad in self.clicks.ads
                if ad.ad_id > after and any(text in field.lower() for field in (ad.ad_id, ad.name, ad.campaign_id))
            ),
            key=lambda ad: ad.ad_id,
        )
        more = behind[limit - 1].ad_id if len(behind) > limit else None
        return JSONResponse({"ads": [self._ad_json(ad) for ad in behind[:limit]], "next": more})

    def _show_ad(self, request: Request) -> Response:
        for ad in self.clicks.ads:
            if ad.ad_id == request.path_params["ad_id"]:
                return JSONResponse(self._ad_json(ad))
        return _problem(404, "no such ad")

    def _ad_json(self, ad: FakeAd) -> dict[str, str]:
        return {
            "ad_id": ad.ad_id,
            "name": ad.name,
            "campaign_id": ad.campaign_id,
            "advertiser_id": ad.advertiser_id,
            "status": "active",
            "landing_url": f"https://shop.example/{ad.ad_id}?from=adtally",
        }

    def _about(self, _: Request) -> Response:
        return JSONResponse({"click_url": self.click_url, "version": "0.0.0"})

    def _metrics(self, request: Request) -> Response:
        ad_id = request.query_params["ad_id"]
        if ad_id not in {ad.ad_id for ad in self.ads}:
            return _problem(404, f"ad_id: no ad {ad_id!r}")
        return _json({"ad_id": ad_id} | self.clicks.numbers(_query(request), "metrics"))

    def _series(self, request: Request) -> Response:
        query = _query(request)
        answer = self.clicks.numbers(query, "series")
        if query.get("format") != "csv":
            return _json(answer)
        rows = [f"{row['timestamp']},{row['clicks']},{row['unique_users']}\r\n" for row in answer["series"]]
        return Response("timestamp,clicks,unique_users\r\n" + "".join(rows), media_type="text/csv")

    async def _live(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        return StreamingResponse(self._events(request), media_type="text/event-stream")

    async def _events(self, request: Request) -> AsyncIterator[str]:
        """Give an event for each change, until the reader leaves."""
        told = -1
        yield ": here\n\n"
        while not await request.is_disconnected():
            if self._server is None or self._server.should_exit:
                return
            known = self.clicks.size()
            if self.live and known != told:
                told = known
                yield f'event: minutes\nid: {SYSTEM_CLOCK.now_ms()}\ndata: {{"minutes": []}}\n\n'
            await asyncio.sleep(0.05)


class _Policy:
    """Adds the headers that the real API has on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = [(b"content-security-policy", POLICY.encode()), (b"cache-control", b"no-cache")]
                message["headers"] = [*message["headers"], *policy]
            await send(message)

        await self._app(scope, receive, send_with_policy)
