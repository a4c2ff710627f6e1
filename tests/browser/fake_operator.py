"""What the stand-in for the API tells an operator."""

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adtally.clock import SYSTEM_CLOCK
from adtally.utc import HOUR_MS
from browser.fake_clicks import iso

LETTERS: Final = 3
CHANGED_AT_ONCE: Final = 3


class FakeOperator:
    """Health, ledger and dead letters.

    Tests set `broken` to a reason for which the store is not well, `more` to how many more keys a correction changed.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Be as new: well, in the hour that runs now, which goes on running for as long as a test takes."""
        self.broken: str | None = None
        self.more = 0
        now_ms = SYSTEM_CLOCK.now_ms()
        self.hour_ms = now_ms - now_ms % HOUR_MS

    def handlers(self) -> dict[str, Callable[[Request], Response]]:
        """Give the addresses with what answers them."""
        return {
            "/v1/status": lambda _: JSONResponse(self.status()),
            "/v1/ledger": self._ledger,
            "/v1/ledger/{hour}": self._hour,
            "/v1/deadletters": lambda _: JSONResponse({"letters": [{}] * LETTERS, "next": None}),
        }

    def status(self) -> dict[str, Any]:
        """Give what /v1/status answers."""
        now_ms = SYSTEM_CLOCK.now_ms()
        well = {"healthy": True, "reason": None}
        store = well if self.broken is None else {"healthy": False, "reason": self.broken}
        return {
            "version": "0.0.0",
            "counting_version": 1,
            "now": iso(now_ms),
            "as_of": iso(now_ms - 700),
            "lag_ms": 700,
            "store": store,
            "registry": well,
            "ledger": well,
            "hours": {"final_through": iso(self.hour_ms), "last_commit": 9, "open": 1, "damaged": 1, "missing": 2},
            "archiver": {"passed": iso(now_ms - 30_000), "lag_ms": 30_000, "positions": {"edge-0": "1", "edge-1": "1"}},
            "reconciler": {
                "last_pass": iso(now_ms - 60_000),
                "failed": None,
                "failures": [],
                "complete_through": iso(self.hour_ms),
                "waits": "until 10 minutes after the hour",
            },
            "not_ready": [],
            "stream": None,
        }

    def lines(self) -> list[dict[str, Any]]:
        """Give the newest line of each of the last hours: one was corrected, one lost events."""
        newest = self.hour_ms - HOUR_MS
        lines = [_line(newest - hours * HOUR_MS, 12_000 - hours * 700) for hours in range(24, -1, -1)]
        corrected = {"revision": 2, "final": lines[-2]["live"] + 3, "keys_differed": 2, "difference": 3, "late": 3}
        lines[-2] |= corrected
        lines[-4] |= {"state": "damaged", "missing": 2, "note": "2 events are no longer in the lake"}
        return lines

    def _ledger(self, request: Request) -> Response:
        lines = [line for line in self.lines() if line["hour"] >= request.query_params["start"]]
        return JSONResponse({"lines": lines, "next": None, "final_through": None})

    def _hour(self, request: Request) -> Response:
        wanted = request.path_params["hour"]
        after = int(request.query_params.get("after", "0"))
        for line in self.lines():
            if line["hour"] == wanted:
                ads = [
                    ("ad_spring", 41),
                    ("ad_001", 7),
                    *((f"ad_{number:03}", number) for number in range(2, 2 + self.more)),
                ]
                keys = [_change(wanted, *ad) for ad in ads] if line["keys_differed"] else []
                later = after + CHANGED_AT_ONCE
                answer = {"hour": wanted, "lines": [line], "commit": 1, "changed": keys[after:later]}
                return JSONResponse(answer | {"next": later if len(keys) > later else None})
        return JSONResponse({"title": "no such hour", "detail": f"{wanted}: the ledger has no such hour"}, 404)


def _line(hour_ms: int, clicks: int) -> dict[str, Any]:
    return {
        "hour": iso(hour_ms),
        "kind": "recount",
        "state": "final",
        "revision": 1,
        "commit": 1,
        "live": clicks,
        "final": clicks,
        "keys_differed": 0,
        "difference": 0,
        "received": clicks + 340,
        "duplicates": 240,
        "invalid": {"bot": 100, "head": 0, "prefetch": 0, "paused_ad": 0},
        "missing": 0,
        "late": 0,
        "engine": "chdb",
        "started": iso(hour_ms + 4_200_000),
        "finished": iso(hour_ms + 4_201_400),
        "duration_ms": 1_400,
        "note": "",
    }


def _change(hour: str, ad_id: str, old: int) -> dict[str, Any]:
    return {
        "advertiser_id": "acme",
        "campaign_id": "spring-2026",
        "ad_id": ad_id,
        "minute": hour,
        "device": "mobile",
        "outcome": "counted",
        "old": old,
        "new": old + 2,
    }
