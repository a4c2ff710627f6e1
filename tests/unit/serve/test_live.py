"""/v1/live: events of the last minutes, and their end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from adtally.clock import SYSTEM_CLOCK
from adtally.serve import hub
from adtally.wiring import server
from support.serving import DEADLINE_S, NOW_MS, Served, report


class Events:
    """The events of one answer, as an EventSource would see them; comments are skipped."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        self._lines = answer.iter_lines()

    def next(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name in ("event", "id", "data"):
                found[name] = msgspec.json.decode(value) if name == "data" else value
            if not line and found:
                return found
        raise EOFError("the answer has ended")


@contextmanager
def following(client: httpx.Client, last: str | None = None, **params: str) -> Iterator[Events]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with client.stream("GET", "/v1/live", params=params, headers=headers, timeout=DEADLINE_S) as answer:
        yield Events(answer)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.ad("ad_1", "acme")
        served.ad("ad_2", "other")
        served.click("ad_1", "ann", "2026-11-23T11:59:10Z")
        served.progress.update(report(NOW_MS - 500))
        yield served


def clicks(event: dict[str, Any]) -> dict[str, int]:
    return {minute["timestamp"][11:16]: minute["clicks"] for minute in event["data"]["minutes"]}


def test_first_all_minutes_come_and_then_those_that_changed(served: Served) -> None:
    with following(served.admin) as events:
        first = events.next()
        assert (first["event"], first["id"]) == ("minutes", str(NOW_MS - 500))
        assert first["data"]["as_of"] == "2026-11-23T12:00:29.500Z"
        assert clicks(first) == {f"11:{minute}": int(minute == 59) for minute in range(46, 60)} | {"12:00": 0}
        served.click("ad_1", "bob", "2026-11-23T12:00:20Z")
        served.progress.update(report(NOW_MS))
        second = events.next()
        assert second["data"]["minutes"] == [
            {"timestamp": "2026-11-23T12:00:00Z", "clicks": 1, "unique_users": 1, "status": "provisional"}
        ]
        assert second["id"] == str(NOW_MS)
        served.clock.at_ms += 60_000
        assert clicks(events.next()) == {"12:01": 0}


def test_one_who_comes_back_gets_what_it_may_have_missed(served: Served) -> None:
    with following(served.admin, last=str(NOW_MS - 10_000)) as events:
        assert clicks(events.next()) == {"12:00": 0}
    for strange in ("", "abc", "9" * 15, "-5"):
        with following(served.admin, last=strange) as events:
            assert len(clicks(events.next())) == 15


def test_an_advertiser_follows_its_own_clicks_only(served: Served) -> None:
    served.click("ad_2", "eve", "2026-11-23T11:59:10Z", advertiser="other")
    with following(served.admin) as events:
        assert clicks(events.next())["11:59"] == 2
    with following(served.as_advertiser("acme")) as events:
        assert clicks(events.next())["11:59"] == 1
    with following(served.admin, advertiser_id="other") as events:
        assert clicks(events.next())["11:59"] == 1
    with following(served.admin, ad_id="ad_1") as events:
        assert clicks(events.next())["11:59"] == 1


def test_those_who_follow_the_same_share_one_query(served: Served) -> None:
    acme = [served.as_advertiser("acme") for _ in range(5)]
    with following(acme[0]) as first:
        first.next()
        begun_s = SYSTEM_CLOCK.monotonic_s()

        def most() -> float:
            """Give how many questions one who follows asks meanwhile, the one that is under way included."""
            return 2 + (SYSTEM_CLOCK.monotonic_s() - begun_s) / hub.POLL_S

        served.olap.queries.clear()
        with following(acme[1]) as a, following(acme[2]) as b, following(acme[3]) as c, following(acme[4]) as d:
            for events in (a, b, c, d):
                events.next()
            assert len(served.olap.queries) <= most()
            served.click("ad_1", "bob", "2026-11-23T12:00:20Z")
            for events in (first, a, b, c, d):
                assert clicks(events.next()) == {"12:00": 1}
            assert len(served.olap.queries) <= most()


def test_a_server_that_stops_ends_the_answers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACEFUL_S_MAX", 4 * DEADLINE_S)
    with Served(tmp_path) as served, following(served.admin) as events:
        events.next()
        begun_s = SYSTEM_CLOCK.monotonic_s()
        served.stop()
        with pytest.raises(EOFError):
            events.next()
        # Far less than the server would have waited for them.
        assert SYSTEM_CLOCK.monotonic_s() - begun_s < DEADLINE_S


def test_a_revoked_key_sees_no_more_events(served: Served) -> None:
    new = served.registry.create_key("acme", NOW_MS)
    with following(served.client(new.key)) as events:
        events.next()
        served.registry.revoke_key(new.key_id, NOW_MS)
        served.clock.at_s += 1.1
        served.click("ad_1", "bob", "2026-11-23T12:00:20Z")
        with pytest.raises(EOFError):
            events.next()


def test_a_key_may_not_open_answers_without_end(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "STREAMS_OF_KEY_MAX", 2)
    with following(served.admin) as events, following(served.admin):
        events.next()
        refused = served.admin.get("/v1/live")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        with following(served.as_advertiser("acme")) as others:
            others.next()
    # Closed ones do not count.
    deadline_s = SYSTEM_CLOCK.monotonic_s() + DEADLINE_S
    while SYSTEM_CLOCK.monotonic_s() < deadline_s:
        with served.admin.stream("GET", "/v1/live") as again:
            if again.status_code == 200:
                return
    pytest.fail("the places were not given back")


def test_more_answers_than_the_server_can_bear_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FEEDS_MAX", 1)
    with following(served.admin) as events:
        events.next()
        refused = served.as_advertiser("acme").get("/v1/live")
        assert (refused.status_code, refused.json()["type"]) == (503, "/docs#problem-unavailable")


def test_a_head_request_does_not_wait_for_events(served: Served) -> None:
    answer = served.admin.head("/v1/live")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
