from collections.abc import Callable
from typing import Any

import pytest

from adtally.counting import MINUTE_MS
from adtally.serve.values import parse_instant, rfc3339
from adtally.traffic.fetch import active_ads, verify
from adtally.traffic.plan import Kind
from adtally.traffic.truth import TruthLine
from adtally.traffic.verify import expect

BEGIN_MS = 1_795_478_400_000


class HandClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ms(self) -> int:
        return BEGIN_MS + int(self.seconds * 1_000)

    def monotonic_s(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Counted:
    """Answers like the API of a system that has counted `clicks`, by ad and minute, as of `as_of`."""

    def __init__(self, clicks: dict[tuple[str, int], int], as_of: Callable[[], str | None], bots: int = 0) -> None:
        self.clicks = clicks
        self.as_of = as_of
        self.bots = bots
        self.ads: list[dict[str, str]] = []

    def get(self, path: str, **params: str | int | None) -> Any:
        if path == "/v1/ads":
            return self.page(params["after"] or "", params["limit"])
        if path == "/v1/status":
            return {"as_of": self.as_of()}
        start_ms, end_ms = parse_instant(str(params["start"])), parse_instant(str(params["end"]))
        inside = {cell: clicks for cell, clicks in self.clicks.items() if start_ms <= cell[1] < end_ms}
        if path == "/v1/quality":
            counted = sum(inside.values())
            invalid = {"head": 0, "bot": self.bots}
            return {"received": counted + self.bots, "counted": counted, "duplicate": 0, "invalid": invalid}
        assert (path, params["granularity"], params["group_by"]) == ("/v1/series", "minute", "ad_id")
        series = [
            {"timestamp": rfc3339(minute), "ad_id": ad_id, "clicks": clicks, "unique_users": clicks}
            for (ad_id, minute), clicks in inside.items()
        ]
        return {"as_of": self.as_of(), "series": series}

    def page(self, after: str | int, limit: str | int | None) -> dict[str, Any]:
        assert isinstance(limit, int)
        behind = [ad for ad in self.ads if ad["ad_id"] > str(after)]
        return {"ads": behind[:limit], "next": behind[limit - 1]["ad_id"] if len(behind) > limit else None}


def click(user_id: str, ts_ms: int, kind: Kind = "click") -> TruthLine:
    return TruthLine(kind, "ad_1", user_id, ts_ms, ts_ms, ts_ms + 1, None, 302, True, f"e1.1.{ts_ms}")


TRUTH = [click("anna", BEGIN_MS), click("ben", BEGIN_MS + 11 * MINUTE_MS), click("bot", BEGIN_MS + 1, "bot")]
CLICKS = {("ad_1", BEGIN_MS): 1, ("ad_1", BEGIN_MS + 11 * MINUTE_MS): 1}
LATER = rfc3339(BEGIN_MS + 12 * MINUTE_MS)


def test_a_system_that_counted_everything_agrees() -> None:
    result, current = verify(Counted(CLICKS, lambda: LATER, bots=1), expect(TRUTH), 5, HandClock())
    assert (result.differences, current) == ((), True)
    assert (result.counted, result.duplicate, result.invalid, result.sent) == (2, 0, 1, 3)


def test_the_comparison_waits_until_the_numbers_have_passed_the_last_event() -> None:
    clock = HandClock()
    last_ms = BEGIN_MS + 11 * MINUTE_MS
    counted = Counted({}, lambda: rfc3339(last_ms + (1 if clock.seconds > 3 else 0)), 1)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.seconds > 3:
            counted.clicks = CLICKS

    result, current = verify(counted, expect(TRUTH), 30, clock, sleep)
    assert (result.differences, current) == ((), True)
    assert 3 < clock.seconds < 4


@pytest.mark.parametrize("as_of", [None, rfc3339(BEGIN_MS)])
def test_numbers_that_do_not_catch_up_are_not_current(as_of: str | None) -> None:
    clock = HandClock()
    _, current = verify(Counted(CLICKS, lambda: as_of, 1), expect(TRUTH), 2, clock, clock.sleep)
    assert not current
    assert 2 <= clock.seconds < 3


def test_a_bot_that_was_counted_and_an_ad_that_was_never_sent_are_differences() -> None:
    counted = Counted({**CLICKS, ("ad_9", BEGIN_MS): 2}, lambda: LATER, 0)
    result, _ = verify(counted, expect(TRUTH), 5, HandClock())
    assert result.doubled == 2
    measures = {difference.measure for difference in result.differences}
    assert measures == {"clicks", "received", "invalid"}


def test_active_ads_are_taken_from_all_pages() -> None:
    counted = Counted({}, lambda: None)
    status = ["active", "active", "paused"]
    counted.ads = [{"ad_id": f"ad_{n:05d}", "status": status[n % 3]} for n in range(3_500)]
    active = [ad["ad_id"] for ad in counted.ads if ad["status"] == "active"]
    assert active_ads(counted, None) == active
    assert active_ads(counted, 700) == active[:700]
