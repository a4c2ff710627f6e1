"""Signing in with a cookie: what it opens, when it ends, and what another site can do with it."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from adtally.config import ServeConfig
from adtally.serve import attempts, sessions
from adtally.serve.attempts import FAILURES_PER_MINUTE, Attempts, TooManySignInsError
from adtally.serve.endpoints import ENDPOINTS
from adtally.serve.sessions import LIFETIME_S, SESSIONS_OF_KEY_MAX, Peer
from support.serving import NOW_MS, Served, SetClock

PAGE = {"X-Adtally-Page": "1"}
CHANGES = [(e.method, e.path) for e in ENDPOINTS if e.method != "GET" and e.who != "anyone"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.ad("ad_acme", "acme")
        served.ad("ad_other", "other")
        yield served


def signed_in(served: Served, key: str) -> httpx.Client:
    browser = served.client(None)
    answer = browser.post("/v1/session", json={"key": key}, headers=PAGE)
    assert (answer.status_code, answer.content) == (204, b"")
    return browser


def status(browser: httpx.Client) -> int:
    return browser.get("/v1/session").status_code


def test_the_cookie_cannot_be_read_by_scripts_nor_sent_by_other_sites(served: Served) -> None:
    answer = served.anonymous.post("/v1/session", json={"key": served.admin_key}, headers=PAGE)
    (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert cookie.key == "adt_session"
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert (cookie["max-age"], cookie["domain"], cookie["secure"]) == (str(LIFETIME_S), "", "")
    assert answer.headers["cache-control"] == "no-store"
    assert served.admin_key not in answer.headers["set-cookie"]
    assert len(cookie.value) >= 43


def test_the_cookie_is_secure_where_the_settings_say_so(tmp_path: Path) -> None:
    with Served(tmp_path, ServeConfig(secure_cookie=True)) as served:
        for answer in (
            served.anonymous.post("/v1/session", json={"key": served.admin_key}, headers=PAGE),
            served.anonymous.delete("/v1/session", headers=PAGE),
        ):
            assert answer.headers["set-cookie"].endswith("; Secure")


def test_a_session_says_whose_it_is_and_sees_what_its_key_sees(served: Served) -> None:
    new = served.registry.create_key("acme", NOW_MS)
    browser = signed_in(served, f" {new.key}\n")
    assert browser.get("/v1/session").json() == {"admin": False, "advertiser_id": "acme", "key_id": new.key_id}
    assert [ad["ad_id"] for ad in browser.get("/v1/ads").json()["ads"]] == ["ad_acme"]
    assert browser.get("/v1/ads/ad_other").status_code == 404
    assert browser.get("/v1/status").status_code == 403
    admin = signed_in(served, served.admin_key)
    assert admin.get("/v1/session").json()["admin"] is True
    assert len(admin.get("/v1/ads").json()["ads"]) == 2


def test_the_key_in_the_header_counts_before_the_cookie(served: Served) -> None:
    browser = signed_in(served, served.admin_key)
    key = served.registry.create_key("acme", NOW_MS).key
    answer = browser.get("/v1/session", headers={"Authorization": f"Bearer {key}"})
    assert answer.json()["advertiser_id"] == "acme"
    assert browser.get("/v1/session", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_signing_out_ends_the_session_itself_and_not_only_its_cookie(served: Served) -> None:
    browser = signed_in(served, served.admin_key)
    token = browser.cookies["adt_session"]
    answer = browser.delete("/v1/session", headers=PAGE)
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert "adt_session" not in browser.cookies
    browser.cookies.set("adt_session", token)
    assert status(browser) == 401
    assert browser.delete("/v1/session", headers=PAGE).status_code == 204


def test_signing_in_again_ends_the_session_before(served: Served) -> None:
    browser = signed_in(served, served.admin_key)
    before = browser.cookies["adt_session"]
    browser.post("/v1/session", json={"key": served.admin_key}, headers=PAGE)
    thief = served.client(None)
    thief.cookies.set("adt_session", before)
    assert (status(browser), status(thief)) == (200, 401)


def test_a_failed_sign_in_leaves_the_session_as_it_is(served: Served) -> None:
    browser = signed_in(served, served.admin_key)
    assert browser.post("/v1/session", json={"key": "adt_live_wrong"}, headers=PAGE).status_code == 401
    assert status(browser) == 200


def test_a_session_ends_after_twelve_hours(served: Served) -> None:
    browser = signed_in(served, served.admin_key)
    served.clock.at_ms += (LIFETIME_S - 1) * 1000
    assert status(browser) == 200
    served.clock.at_ms += 1000
    served.clock.at_s += 1
    assert status(browser) == 401


def test_a_revoked_key_ends_its_sessions_within_a_second(served: Served) -> None:
    new = served.registry.create_key("acme", NOW_MS)
    browser = signed_in(served, new.key)
    assert status(browser) == 200
    served.registry.revoke_key(new.key_id, NOW_MS)
    served.clock.at_s += 1.01
    refused = browser.get("/v1/session")
    assert (refused.status_code, "revoked" in refused.json()["detail"]) == (401, True)


def test_an_expired_key_ends_its_sessions_within_a_second_and_opens_none(served: Served) -> None:
    new = served.registry.create_key("acme", NOW_MS, NOW_MS + 5_000)
    browser = signed_in(served, new.key)
    assert status(browser) == 200
    served.clock.at_ms += 5_000
    served.clock.at_s += 5
    assert status(browser) == 401
    assert served.anonymous.post("/v1/session", json={"key": new.key}, headers=PAGE).status_code == 401
    assert served.client(new.key).get("/v1/session").status_code == 401


@pytest.mark.parametrize("key", ["", " ", "adt_live_", "x" * 257, "é", "adt_live_" + "0" * 38])
def test_what_is_no_key_opens_nothing(served: Served, key: str) -> None:
    answer = served.anonymous.post("/v1/session", json={"key": key}, headers=PAGE)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("token", ["", "x", "é", "x" * 4_000])
def test_an_invented_token_opens_nothing(served: Served, token: str) -> None:
    answer = served.anonymous.get("/v1/ads", headers=[(b"Cookie", b"adt_session=" + token.encode())])
    assert answer.status_code == 401


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_no_change_is_made_with_a_cookie_alone(served: Served, method: str, path: str) -> None:
    browser = signed_in(served, served.admin_key)
    for headers in ({}, {"X-Adtally-Page": ""}, {"X-Adtally-Page": "0"}, {"Content-Type": "application/json"}):
        answer = browser.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert "X-Adtally-Page: 1" in answer.json()["detail"]
    assert browser.request(method, path, headers=PAGE).status_code != 403


def test_a_key_in_the_header_needs_no_other_header(served: Served) -> None:
    assert served.admin.post("/v1/keys", json={"advertiser_id": "acme"}).status_code == 201


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_sites_form_can_neither_sign_in_nor_out(served: Served, content_type: str) -> None:
    browser, body = signed_in(served, served.admin_key), b'{"key": "%s"}' % served.admin_key.encode()
    headers = {"Content-Type": content_type}
    assert browser.post("/v1/session", content=body, headers=headers).status_code == 403
    assert browser.delete("/v1/session", headers=headers).status_code == 403
    assert status(browser) == 200


def test_no_preflight_of_another_site_is_answered(served: Served) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Headers": "x-adtally-page"}
    answer = served.anonymous.options("/v1/session", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_key_ends_its_own_oldest_sessions_and_no_others(served: Served) -> None:
    key = served.registry.create_key("acme", NOW_MS).key
    other, first, second = signed_in(served, served.admin_key), signed_in(served, key), signed_in(served, key)
    for _ in range(SESSIONS_OF_KEY_MAX - 1):
        signed_in(served, key)
    assert (status(other), status(first), status(second)) == (200, 401, 200)


def test_the_number_of_sessions_is_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 2)
    first = signed_in(served, served.admin_key)
    rest = [signed_in(served, served.registry.create_key("acme", NOW_MS).key) for _ in range(2)]
    assert [status(browser) for browser in (first, *rest)] == [401, 200, 200]


def test_failures_are_slowed_down_and_successes_are_not(served: Served) -> None:
    for _ in range(2 * FAILURES_PER_MINUTE):
        signed_in(served, served.admin_key)
    wrong = [served.anonymous.post("/v1/session", json={"key": "x"}, headers=PAGE) for _ in range(FAILURES_PER_MINUTE)]
    assert {answer.status_code for answer in wrong} == {401}
    refused = served.anonymous.post("/v1/session", json={"key": served.admin_key}, headers=PAGE)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "6")
    assert "sign-ins from your address" in refused.json()["detail"]
    assert served.admin.get("/v1/session").status_code == 200
    served.clock.at_s += 6
    signed_in(served, served.admin_key)


def fail(guard: Attempts, address: str, times: int) -> None:
    for _ in range(times):
        guard.begin(address)


def test_addresses_have_budgets_of_their_own_and_networks_of_ipv6_share_one() -> None:
    guard = Attempts(SetClock())
    fail(guard, "10.0.0.1", FAILURES_PER_MINUTE)
    fail(guard, "10.0.0.2", FAILURES_PER_MINUTE)
    fail(guard, "2001:db8::1", FAILURES_PER_MINUTE)
    fail(guard, "2001:db8:0:1::1", FAILURES_PER_MINUTE)
    for address in ("10.0.0.1", "2001:db8::ffff"):
        with pytest.raises(TooManySignInsError):
            guard.begin(address)


def test_what_is_kept_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ADDRESSES_MAX", 3)
    guard = Attempts(SetClock())
    for number in range(100):
        guard.begin(f"10.0.0.{number}")
    assert len(guard._left) == 3
    guard.succeed("10.0.0.99")
    assert len(guard._left) == 2


def test_no_secret_stands_in_a_log_or_an_error(served: Served) -> None:
    with capture_logs() as logged:
        token = signed_in(served, served.admin_key).cookies["adt_session"]
        wrong = served.admin_key[:-1] + "x"
        refused = served.anonymous.post("/v1/session", json={"key": wrong}, headers=PAGE)
    assert wrong not in refused.text
    assert served.admin_key not in str(logged)
    assert token not in str(logged) + repr(Peer("10.0.0.1", token))
