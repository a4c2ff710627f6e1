"""Stands in for the API process where a test needs it to fail or to be slow, with the answers of design section 6."""

import asyncio
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS, minute_of
from browser.system import KnownAd

STATIC: Final = Path(__file__).parents[2] / "src" / "adtally" / "serve" / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
START_DEADLINE_S: Final = 10
DAY_MS: Final = 86_400_000
ADVERTISER: Final = "acme"


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _problem(status: int, detail: str) -> JSONResponse:
    content = {"title": detail, "detail": detail, "status": status}
    return JSONResponse(content, status, media_type="application/problem+json")


class FakeApi:
    """Counts in memory. Tests set `failing` to a status and `delay_s`, and read `asked`, the API paths in order."""

    def __init__(self) -> None:
        self.url = ""
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.forget()

    def forget(self) -> None:
        """Be as new: no clicks, no trouble. The server, if it runs, goes on."""
        self.key = "adt_live_test_key"
        self.ads = [KnownAd("ad_spring", "Spring sale, wide banner"), KnownAd("ad_quiet", "Nobody has seen this one")]
        self.ads += [KnownAd(f"ad_{number:03}", f"Autumn coats {number}") for number in range(1, 41)]
        self.click_url = "http://127.0.0.1:18080"
        self.failing: int | None = None
        self.without_top = False
        self.delay_s = 0.0
        self.final_through_ms: int | None = None
        self.asked: list[str] = []
        self._users: dict[tuple[str, int], list[str]] = defaultdict(list)
        self._rejected: Counter[tuple[str, str]] = Counter()

    def click(self, ad_id: str, user_id: str) -> None:
        """Count one click in the running minute."""
        self.click_at(ad_id, user_id, SYSTEM_CLOCK.now_ms())

    def click_at(self, ad_id: str, user_id: str, ts_ms: int) -> None:
        """Count one click in the minute of `ts_ms`."""
        self._users[ad_id, minute_of(ts_ms)].append(user_id)

    def reject(self, ad_id: str, outcome: str, times: int) -> None:
        """Note requests that did not become clicks."""
        self._rejected[ad_id, outcome] += times

    def app(self) -> Starlette:
        """Give the application: the page, and the API behind the key."""
        routes = [
            Route("/", lambda _: FileResponse(STATIC / "index.html")),
            Mount("/assets", StaticFiles(directory=STATIC)),
            Route("/v1/session", self._session, methods=["GET", "POST", "DELETE"]),
            Route("/v1/ads", self._guarded(self._list_ads)),
            Route("/v1/ads/{ad_id}", self._guarded(self._show_ad)),
            Route("/v1/top", self._guarded(self._top)),
            Route("/v1/quality", self._guarded(self._quality)),
            Route("/v1/about", self._guarded(self._about)),
            Route("/metrics", self._guarded(self._metrics)),
        ]
        return Starlette(routes=routes, middleware=[Middleware(_Policy)])

    def start(self) -> None:
        """Serve on a free port of 127.0.0.1 until `stop`; nothing if it serves already."""
        if self._server is not None:
            return
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(self.app(), log_level="warning", timeout_graceful_shutdown=1))
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
            if request.cookies.get("adt_session") != self._token():
                return _problem(401, "no valid key")
            if self.failing is not None:
                return _problem(self.failing, "the store does not answer")
            if _ms(request.query_params.get("end", "2000-01-01T00:00:00Z")) > SYSTEM_CLOCK.now_ms() + DAY_MS:
                return _problem(400, "end: after tomorrow")
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
            return JSONResponse({"admin": False, "advertiser_id": ADVERTISER, "key_id": "0123456789"})
        if (await request.json())["key"] != self.key:
            return _problem(401, "no valid key")
        return Response(None, 204, {"Set-Cookie": f"adt_session={self._token()}; Path=/; HttpOnly; SameSite=Strict"})

    def _list_ads(self, request: Request) -> Response:
        after = request.query_params.get("after", "")
        limit = int(request.query_params.get("limit", "100"))
        behind = sorted((ad for ad in self.ads if ad.ad_id > after), key=lambda ad: ad.ad_id)
        more = behind[limit - 1].ad_id if len(behind) > limit else None
        return JSONResponse({"ads": [self._ad_json(ad) for ad in behind[:limit]], "next": more})

    def _show_ad(self, request: Request) -> Response:
        for ad in self.ads:
            if ad.ad_id == request.path_params["ad_id"]:
                return JSONResponse(self._ad_json(ad))
        return _problem(404, "no such ad")

    def _ad_json(self, ad: KnownAd) -> dict[str, str]:
        return {
            "ad_id": ad.ad_id,
            "name": ad.name,
            "campaign_id": "spring-2026",
            "advertiser_id": ADVERTISER,
            "status": "active",
            "landing_url": f"https://shop.example/{ad.ad_id}?from=adtally",
        }

    def _about(self, _: Request) -> Response:
        return JSONResponse({"click_url": self.click_url, "version": "0.0.0"})

    def _in_range(self, request: Request, ad_id: str) -> list[str]:
        start_ms, end_ms = _ms(request.query_params["start"]), _ms(request.query_params["end"])
        cells = self._users.items()
        return [user for (ad, minute), users in cells if ad == ad_id and start_ms <= minute < end_ms for user in users]

    def _top(self, request: Request) -> Response:
        if self.without_top:
            return _problem(404, "no such address")
        found = [(ad.ad_id, self._in_range(request, ad.ad_id)) for ad in self.ads]
        found = sorted(((ad_id, users) for ad_id, users in found if users), key=lambda item: -len(item[1]))
        rows = [{"ad_id": ad_id, "clicks": len(users), "unique_users": len(set(users))} for ad_id, users in found]
        return JSONResponse({"top": rows[: int(request.query_params["limit"])]})

    def _quality(self, request: Request) -> Response:
        ad_id = request.query_params["ad_id"]
        counted = len(self._in_range(request, ad_id))
        rejected = {outcome: times for (ad, outcome), times in self._rejected.items() if ad == ad_id}
        duplicate = rejected.pop("duplicate", 0)
        received = counted + duplicate + sum(rejected.values())
        return JSONResponse({"received": received, "counted": counted, "duplicate": duplicate, "invalid": rejected})

    def _metrics(self, request: Request) -> Response:
        ad_id = request.query_params["ad_id"]
        if ad_id not in {ad.ad_id for ad in self.ads}:
            return _problem(404, f"ad_id: no ad {ad_id!r}")
        now_ms = SYSTEM_CLOCK.now_ms()
        end_ms = min(_ms(request.query_params["end"]), minute_of(now_ms) + MINUTE_MS)
        buckets: list[dict[str, Any]] = []
        for minute in range(_ms(request.query_params["start"]), end_ms, MINUTE_MS):
            users = self._users.get((ad_id, minute), [])
            numbers = {"clicks": len(users), "unique_users": len(set(users))}
            final = self.final_through_ms is not None and minute < self.final_through_ms
            state = {"status": "final", "revision": 1} if final else {"status": "provisional", "revision": 0}
            buckets.append({"timestamp": _iso(minute)} | state | numbers)
        everyone = self._in_range(request, ad_id)
        totals = {"clicks": len(everyone), "unique_users": len(set(everyone))}
        final_through = None if self.final_through_ms is None else _iso(self.final_through_ms)
        answer = {"ad_id": ad_id, "metrics": buckets, "totals": totals}
        return JSONResponse(answer | {"as_of": _iso(now_ms - 400), "final_through": final_through})


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
