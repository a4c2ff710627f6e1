"""Keys, tenants, rate limits."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adtally.config import ServeConfig
from adtally.serve.auth import UnauthenticatedError, bearer_key
from adtally.serve.endpoints import ENDPOINTS
from adtally.serve.ratelimit import KEYS_MAX, RateLimit, RateLimitedError
from support.serving import NOW_MS, Served, SetClock

SPAN = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"}
ADMIN_ONLY = [(e.method, e.path) for e in ENDPOINTS if e.who == "admin"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("callers")) as served:
        served.ad("ad_acme", "acme", "spring")
        served.ad("ad_other", "other", "autumn")
        served.click("ad_acme", "ann", "2026-11-23T10:00:00Z", campaign="spring")
        served.click("ad_other", "bob", "2026-11-23T10:00:00Z", advertiser="other", campaign="autumn")
        served.click("ad_other", "eve", "2026-11-23T10:00:00Z", advertiser="other", campaign="autumn")
        yield served


@pytest.mark.parametrize(("method", "path"), [(e.method, e.path) for e in ENDPOINTS if e.who != "anyone"])
def test_no_address_answers_without_a_key(served: Served, method: str, path: str) -> None:
    answer = served.anonymous.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="adtally"'
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("header", ["", "Bearer", "Basic abc", "Bearer nonsense", "Bearer " + "x" * 300, "Bearer é"])
def test_a_header_without_a_valid_key_is_refused(served: Served, header: str) -> None:
    answer = served.anonymous.get("/v1/ads", headers=[(b"Authorization", header.encode())])
    assert answer.status_code == 401


def test_a_cut_off_key_is_refused(served: Served) -> None:
    assert served.client(served.admin_key[:-1]).get("/v1/ads").status_code == 401


def test_the_scheme_may_be_written_in_any_case() -> None:
    assert bearer_key("bearer  abc") == "abc"
    with pytest.raises(UnauthenticatedError):
        bearer_key(None)


@pytest.mark.parametrize(("method", "path"), ADMIN_ONLY)
def test_what_only_admins_may_is_forbidden_to_advertisers(served: Served, method: str, path: str) -> None:
    answer = served.as_advertiser("acme").request(method, path.replace("{ad_id}", "ad_acme").replace("{key_id}", "k"))
    assert answer.status_code == 403
    assert answer.json()["type"] == "/docs#problem-forbidden"


def test_changes_are_for_admins_only() -> None:
    assert {e.path for e in ENDPOINTS if e.method != "GET" and e.who != "admin"} == {"/v1/session"}


def without_instance(answer: httpx.Response) -> dict[str, object]:
    return {name: value for name, value in answer.json().items() if name != "instance"}


FILTERED = ("/v1/quality", "/v1/series", "/v1/top", "/v1/compare")


@pytest.mark.parametrize(
    "path", ["/metrics?ad_id={}&", *(f"{path}?ad_id={{}}&" for path in FILTERED), "/v1/ads/{}?", "/v1/live?ad_id={}"]
)
def test_another_advertisers_ad_looks_like_one_that_does_not_exist(served: Served, path: str) -> None:
    acme = served.as_advertiser("acme")
    span = "" if "/v1/ads" in path or "/v1/live" in path else "start=1795420800&end=1795420860"
    foreign = acme.get(path.format("ad_other") + span)
    unknown = acme.get(path.format("ad_wrong") + span)
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert str(without_instance(foreign)).replace("ad_other", "ad_wrong") == str(without_instance(unknown))
    with served.admin.stream("GET", path.format("ad_other") + span) as answer:
        assert answer.status_code == 200


@pytest.mark.parametrize("path", [*FILTERED, "/v1/ads", "/v1/campaigns", "/v1/live"])
def test_another_advertiser_looks_like_one_that_does_not_exist(served: Served, path: str) -> None:
    acme = served.as_advertiser("acme")
    span = SPAN if path in FILTERED else {}
    foreign = acme.get(path, params={**span, "advertiser_id": "other"})
    unknown = acme.get(path, params={**span, "advertiser_id": "wrong"})
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert str(without_instance(foreign)).replace("other", "wrong") == str(without_instance(unknown))
    with acme.stream("GET", path, params={**span, "advertiser_id": "acme"}) as answer:
        assert answer.status_code == 200


def test_an_advertiser_sees_only_its_own_numbers(served: Served) -> None:
    acme = served.as_advertiser("acme")
    served.olap.queries.clear()
    series = acme.get("/v1/series", params={**SPAN, "group_by": "advertiser_id,ad_id"}).json()["series"]
    assert {(row["advertiser_id"], row["ad_id"]) for row in series} == {("acme", "ad_acme")}
    assert [row["ad_id"] for row in acme.get("/v1/top", params=SPAN).json()["top"]] == ["ad_acme"]
    assert acme.get("/v1/quality", params=SPAN).json()["received"] == 1
    assert [ad["ad_id"] for ad in acme.get("/v1/ads").json()["ads"]] == ["ad_acme"]
    assert [c["campaign_id"] for c in acme.get("/v1/campaigns").json()["campaigns"]] == ["spring"]
    assert {query.tenant for query in served.olap.queries} == {"acme"}


@pytest.mark.parametrize("path", FILTERED)
def test_another_advertisers_campaign_finds_as_little_as_an_unknown_one(served: Served, path: str) -> None:
    acme = served.as_advertiser("acme")
    foreign = acme.get(path, params={**SPAN, "campaign_id": "autumn"})
    unknown = acme.get(path, params={**SPAN, "campaign_id": "wrong"})
    assert foreign.status_code == 200
    assert foreign.json() == unknown.json()
    mine = acme.get(path, params={**SPAN, "campaign_id": "spring"})
    assert mine.json() != foreign.json()


def test_the_top_of_advertisers_is_for_admins(served: Served) -> None:
    answer = served.as_advertiser("acme").get("/v1/top", params={**SPAN, "of": "advertisers"})
    assert (answer.status_code, answer.json()["type"]) == (403, "/docs#problem-forbidden")
    top = served.admin.get("/v1/top", params={**SPAN, "of": "advertisers"}).json()["top"]
    assert [(row["advertiser_id"], row["clicks"]) for row in top] == [("other", 2), ("acme", 1)]


def test_an_admin_sees_everybody(served: Served) -> None:
    assert [row["clicks"] for row in served.admin.get("/v1/top", params=SPAN).json()["top"]] == [2, 1]
    assert served.admin.get("/v1/quality", params={**SPAN, "advertiser_id": "other"}).json()["received"] == 2
    assert len(served.admin.get("/v1/ads").json()["ads"]) == 2
    assert len(served.admin.get("/v1/campaigns").json()["campaigns"]) == 2


def test_a_revoked_key_works_for_less_than_a_second_more(served: Served) -> None:
    new = served.registry.create_key("acme", NOW_MS)
    acme = served.client(new.key)
    assert acme.get("/v1/about").status_code == 200
    served.registry.revoke_key(new.key_id, NOW_MS)
    served.clock.at_s += 0.99
    assert acme.get("/v1/about").status_code == 200
    served.clock.at_s += 0.02
    assert acme.get("/v1/about").status_code == 401


def test_a_key_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with Served(tmp_path, ServeConfig(requests_per_minute=3)) as served:
        served.ad("ad_acme", "acme")
        acme = served.as_advertiser("acme")
        assert [acme.get("/v1/about").status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = acme.get("/v1/about")
        assert refused.headers["retry-after"] == "20"
        assert refused.json()["type"] == "/docs#problem-rate-limited"
        assert refused.headers["ratelimit"] == '"key";r=0;t=20'
        assert served.admin.get("/v1/about").status_code == 200
        served.clock.at_s += 20
        assert [acme.get("/v1/about").status_code for _ in range(2)] == [200, 429]


def test_every_answer_to_a_key_tells_what_is_left_for_it(tmp_path: Path) -> None:
    with Served(tmp_path, ServeConfig(requests_per_minute=120)) as served:
        asked = ["/v1/about", "/v1/ads/unknown", "/v1/ads?limit=0"]
        answers = [served.admin.get(path) for path in asked]
        assert [answer.status_code for answer in answers] == [200, 404, 400]
        assert [answer.headers["ratelimit"] for answer in answers] == [f'"key";r={119 - n};t=1' for n in range(3)]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=120;w=60'}
        assert "ratelimit" not in served.anonymous.get("/v1/about").headers
        assert served.client(served.registry.create_key(None, NOW_MS).key).get("/v1/about").headers["ratelimit"] == (
            '"key";r=119;t=1'
        )


def test_what_is_said_to_be_left_is_admitted_and_no_more_until_the_time_said() -> None:
    clock = SetClock()
    limit = RateLimit(7, clock)
    for wait_s in (0.0, 3.3, 0.0, 11.0, 8.9):
        clock.at_s += wait_s
        limit.take("k")
    left, more_s = (int(part[2:]) for part in dict(limit.header_fields("k"))[b"ratelimit"].decode().split(";")[1:])
    for _ in range(left):
        limit.take("k")
    with pytest.raises(RateLimitedError):
        limit.take("k")
    clock.at_s += more_s
    limit.take("k")


def test_tokens_do_not_pile_up_beyond_a_minutes_worth() -> None:
    clock = SetClock()
    limit = RateLimit(2, clock)
    limit.take("k")
    clock.at_s += 3600
    limit.take("k")
    limit.take("k")
    with pytest.raises(RateLimitedError):
        limit.take("k")


def test_keys_that_rest_are_forgotten_and_those_that_ask_too_often_are_not() -> None:
    clock = SetClock()
    limit = RateLimit(1, clock)
    for number in range(KEYS_MAX):
        limit.take(str(number))
    clock.at_s += 60
    limit.take("busy")
    for number in range(KEYS_MAX):
        limit.take(str(number))
    with pytest.raises(RateLimitedError):
        limit.take("busy")
