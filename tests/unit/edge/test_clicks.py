"""A click's answer and its event, through a socket."""

import re
from collections.abc import Iterator

import pytest

from adtally.config import EdgeConfig
from adtally.counting import click_id
from adtally.event import Event
from adtally.registry.port import AdTarget
from unit.edge.running import EDGE_ID, LANDING, PATIENT_MS, ManualClock, RunningEdge, wait_until

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.fixture
def edge() -> Iterator[RunningEdge]:
    with RunningEdge() as running:
        yield running


def only_event(edge: RunningEdge) -> Event:
    (event,) = edge.writer.events()
    return event


def test_a_click_is_in_the_log_before_its_302_leaves_and_is_sent_on(edge: RunningEdge) -> None:
    answer = edge.get(
        "/click?ad_id=ad_1&user_id=user+456&impression_id=i%2F1&utm=%zz",
        f"User-Agent: {CHROME}",
        "Referer: https://News.Example:8443/secret/path?q=1",
    )

    event = only_event(edge)
    assert answer.status == 302
    assert answer.headers["location"] == LANDING
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-length"] == "0"
    assert answer.headers["x-click-event"] == f"{EDGE_ID}.1.{event.ts_ms}"
    assert "set-cookie" not in answer.headers
    assert "x-click-recorded" not in answer.headers
    assert event == Event(
        edge_id=EDGE_ID,
        seq=1,
        ts_ms=event.ts_ms,
        ad_id="ad_1",
        campaign_id="camp_1",
        advertiser_id="adv_1",
        user_id="user 456",
        device="desktop",
        verdict="ok",
        ip_prefix="127.0.0.0/24",
        user_agent=CHROME,
        impression_id="i/1",
        referrer_host="news.example",
    )


@pytest.mark.parametrize(
    ("target", "headers", "method", "verdict"),
    [
        ("ad_1", (), "HEAD", "head"),
        ("ad_1", ("Purpose: prefetch",), "GET", "prefetch"),
        ("ad_1", ("Sec-Purpose: prefetch;prerender",), "GET", "prefetch"),
        ("ad_1", ("X-Moz: prefetch",), "GET", "prefetch"),
        ("ad_1", ("X-Purpose: preview",), "GET", "prefetch"),
        ("ad_1", (f"User-Agent: {GOOGLEBOT}",), "GET", "bot"),
        ("ad_paused", (), "GET", "paused_ad"),
        ("ad_paused", (f"User-Agent: {GOOGLEBOT}",), "GET", "bot"),
        ("ad_paused", (f"User-Agent: {GOOGLEBOT}", "Purpose: prefetch"), "GET", "prefetch"),
        ("ad_paused", (f"User-Agent: {GOOGLEBOT}", "Purpose: prefetch"), "HEAD", "head"),
    ],
)
def test_what_is_no_persons_click_gets_its_verdict_and_is_sent_on_all_the_same(
    edge: RunningEdge, target: str, headers: tuple[str, ...], method: str, verdict: str
) -> None:
    answer = edge.get(f"/click?ad_id={target}&user_id=u", *headers, method=method)

    assert answer.status == 302
    assert answer.headers["location"] == LANDING
    assert only_event(edge).verdict == verdict


def test_macros_are_filled_and_percent_encoded(edge: RunningEdge) -> None:
    answer = edge.get("/click?ad_id=ad_macros&user_id=u&impression_id=%C3%BC%26b")

    event = only_event(edge)
    expected = click_id("ad_macros", "u", "ü&b", event.ts_ms)
    assert answer.headers["location"] == (
        f"https://m.example/ad_macros/camp%201?c={expected}&i=%C3%BC%26b&t={event.ts_ms}"
    )


def test_an_ad_id_beyond_ascii_is_found_and_encoded(edge: RunningEdge) -> None:
    assert edge.get("/click?ad_id=a+b%2F%C3%BC&user_id=u").headers["location"] == "https://shop.example/a%20b%2F%C3%BC"
    assert only_event(edge).ad_id == "a b/ü"


def test_a_person_without_an_id_gets_a_cookie_and_keeps_it(edge: RunningEdge) -> None:
    first = edge.get("/click?ad_id=ad_1")
    cookie = first.headers["set-cookie"]
    match = re.fullmatch(r"adt_uid=([0-9a-f]{32}); Max-Age=34128000; Path=/; HttpOnly; SameSite=Lax", cookie)
    assert match

    again = edge.get("/click?ad_id=ad_1", f"Cookie: other=1; adt_uid={match[1]}; more=2", "User-Agent: other")

    assert "set-cookie" not in again.headers
    assert [event.user_id for event in edge.writer.events()] == [match[1], match[1]]


def test_a_double_click_that_outruns_its_cookie_gets_the_same_new_id() -> None:
    with RunningEdge(clock=ManualClock()) as edge:
        first, second = edge.get("/click?ad_id=ad_1"), edge.get("/click?ad_id=ad_1")
        other_agent = edge.get("/click?ad_id=ad_1", "User-Agent: another")
        other_address = edge.get("/click?ad_id=ad_1", source="127.0.0.2")
        other_ad = edge.get("/click?ad_id=ad_paused")

    assert first.headers["set-cookie"] == second.headers["set-cookie"]
    assert len({answer.headers["set-cookie"] for answer in (first, other_agent, other_address, other_ad)}) == 4


def test_a_cookie_that_we_did_not_give_counts_as_none(edge: RunningEdge) -> None:
    answer = edge.get("/click?ad_id=ad_1", "Cookie: adt_uid=<script>")

    assert "set-cookie" in answer.headers
    assert re.fullmatch("[0-9a-f]{32}", only_event(edge).user_id)


def test_behind_https_the_cookie_is_secure_and_without_the_setting_no_event_header_is_sent() -> None:
    with RunningEdge(EdgeConfig(secure_cookie=True, append_timeout_ms=PATIENT_MS)) as edge:
        answer = edge.get("/click?ad_id=ad_1")

    assert answer.headers["set-cookie"].endswith("; SameSite=Lax; Secure")
    assert "x-click-event" not in answer.headers


def test_forwarding_headers_are_believed_from_trusted_proxies_only() -> None:
    forwarded = "X-Forwarded-For: 198.51.100.9, 203.0.113.77, 10.1.2.3"
    config = EdgeConfig(trusted_proxies=("127.0.0.2/32", "10.0.0.0/8"), append_timeout_ms=PATIENT_MS)
    with RunningEdge(config) as edge:
        edge.get("/click?ad_id=ad_1&user_id=u", forwarded, source="127.0.0.1")
        edge.get("/click?ad_id=ad_1&user_id=u", forwarded, source="127.0.0.2")
        assert edge.get("/-/metrics", forwarded, source="127.0.0.2").status == 403

        prefixes = [event.ip_prefix for event in edge.writer.events()]

    assert prefixes == ["127.0.0.0/24", "203.0.113.0/24"]


def test_a_long_or_strange_user_agent_is_cut_to_512_bytes(edge: RunningEdge) -> None:
    with edge.client() as client:
        client.send(
            b"GET /click?ad_id=ad_1&user_id=u HTTP/1.1\r\nHost: x\r\nUser-Agent: a\xff" + b"b" * 600 + b"\r\n\r\n"
        )
        assert client.answer().status == 302

    assert only_event(edge).user_agent == "a" + "b" * 510


def test_a_changed_ad_is_seen_without_a_restart(edge: RunningEdge) -> None:
    assert edge.get("/click?ad_id=ad_1&user_id=u").headers["location"] == LANDING
    finds = edge.replica.finds
    assert edge.get("/click?ad_id=ad_1&user_id=u").headers["location"] == LANDING
    assert edge.replica.finds == finds

    edge.replica.ads["ad_1"] = AdTarget("camp_1", "adv_1", "https://new.example/", "active")
    edge.replica.changed = True

    wait_until(lambda: edge.get("/click?ad_id=ad_1&user_id=u").headers["location"] == "https://new.example/")


def test_a_replica_that_breaks_is_a_500_with_the_worker_alive(edge: RunningEdge) -> None:
    edge.replica.breaks_with = RuntimeError("broken")
    with edge.client() as client:
        assert client.get("/click?ad_id=ad_1&user_id=u").status == 500
        assert client.ended()
    for method in ("GET", "HEAD"):
        assert edge.get("/click?ad_id=ad_1&user_id=u", "Connection: close", method=method).status == 500
    edge.replica.breaks_with = None

    assert edge.get("/click?ad_id=ad_1&user_id=u").status == 302


def test_health_readiness_and_metrics_answer(edge: RunningEdge) -> None:
    edge.get("/click?ad_id=ad_1&user_id=u")
    edge.get("/click?ad_id=nope")

    assert edge.get("/-/healthz").status == 200
    assert edge.get("/-/healthz", method="HEAD").status == 200
    assert edge.get("/-/readyz").status == 200
    metrics = edge.get("/-/metrics")
    assert metrics.status == 200
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    lines = metrics.body.decode().splitlines()
    assert 'adtally_edge_events_total{verdict="ok"} 1.0' in lines
    assert 'adtally_edge_refused_total{reason="unknown_ad"} 1.0' in lines
    assert "adtally_edge_recorded_total 1.0" in lines
    assert "adtally_edge_ready 1.0" in lines
