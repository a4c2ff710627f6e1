"""Ads, campaigns, advertisers and keys over the API."""

from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import pytest

from adtally.registry.port import Ad
from support.serving import Served


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("admin"), click_url="http://127.0.0.1:8080") as served:
        yield served


def lines(*rows: object) -> bytes:
    return msgspec.json.Encoder().encode_lines(rows)


def test_an_import_stores_good_lines_and_reports_bad_ones(served: Served) -> None:
    served.ad("taken", "acme", "spring")
    body = lines(
        Ad("ad_1", "acme", "https://shop.example/"),
        {"ad_id": "ad_2", "advertiser_id": "acme", "landing_url": "ftp://shop.example/"},
        {"ad_id": "ad_3"},
        Ad("ad_4", "acme", "https://shop.example/", "spring"),
        Ad("taken", "thief", "https://shop.example/"),
        Ad("ad_5", "thief", "https://shop.example/", "spring"),
        {"ad_id": "ad_6", "advertiser_id": "acme", "landing_url": "https://shop.example/", "statuss": "paused"},
    )
    answer = served.admin.post("/v1/ads/import", content=body + b"\n{\n\xff\n").json()
    assert (answer["created"], answer["changed"], answer["unchanged"]) == (2, 0, 0)
    assert [
        (error["line"], word in error["reason"])
        for error, word in zip(
            answer["errors"],
            ("ftp", "advertiser_id", "belongs to", "belongs to", "statuss", "", ""),
            strict=True,
        )
    ] == [(line, True) for line in (2, 3, 5, 6, 7, 9, 10)]
    assert [ad.ad_id for ad in served.registry.ads(None, "", 10)] == ["ad_1", "ad_4", "taken"]


def test_importing_again_changes_nothing(served: Served) -> None:
    body = lines(Ad("ad_1", "acme", "https://shop.example/"), Ad("ad_2", "acme", "https://shop.example/"))
    assert served.admin.post("/v1/ads/import", content=body).json()["created"] == 2
    assert served.admin.post("/v1/ads/import", content=body).json() == {
        "created": 0,
        "changed": 0,
        "unchanged": 2,
        "errors": [],
    }


def test_ten_thousand_lines_are_taken(served: Served) -> None:
    body = lines(*(Ad(f"ad_{number}", "acme", "https://shop.example/") for number in range(10_000)))
    assert served.admin.post("/v1/ads/import", content=body).json()["created"] == 10_000


def test_an_empty_import_is_no_error(served: Served) -> None:
    assert served.admin.post("/v1/ads/import", content=b"\n\n").json()["created"] == 0


def test_pages_of_ads_follow_each_other_without_gaps(served: Served) -> None:
    for number in range(7):
        served.ad(f"ad_{number}", "acme" if number % 2 else "other")
    seen: list[str] = []
    after: str | None = ""
    pages = 0
    while after is not None:
        page = served.admin.get("/v1/ads", params={"after": after, "limit": 3}).json()
        seen += [ad["ad_id"] for ad in page["ads"]]
        after = page["next"]
        pages += 1
    assert seen == [f"ad_{number}" for number in range(7)]
    assert pages == 3
    assert len(served.admin.get("/v1/ads", params={"advertiser_id": "other"}).json()["ads"]) == 4
    assert served.admin.get("/v1/ads", params={"limit": 7}).json()["next"] is None


def test_a_search_sees_the_callers_ads_only(served: Served) -> None:
    served.ad("shoes_1", "acme")
    served.ad("shoes_2", "umbra")
    umbra = served.as_advertiser("umbra")
    assert [ad["ad_id"] for ad in umbra.get("/v1/ads", params={"search": "SHOES"}).json()["ads"]] == ["shoes_2"]
    assert umbra.get("/v1/ads", params={"search": "shoes_1"}).json() == {"ads": [], "next": None}
    assert umbra.get("/v1/ads", params={"search": "shoes", "advertiser_id": "acme"}).status_code == 404
    page = served.admin.get("/v1/ads", params={"search": "shoes", "limit": 1}).json()
    assert ([ad["ad_id"] for ad in page["ads"]], page["next"]) == (["shoes_1"], "shoes_1")


@pytest.mark.parametrize("text", ["a\x00b", "x" * 129])
def test_a_search_for_what_no_id_can_hold_is_refused(served: Served, text: str) -> None:
    answer = served.admin.get("/v1/ads", params={"search": text})
    assert (answer.status_code, answer.json()["field"]) == (400, "search")


def test_campaigns_and_advertisers_have_pages_too(served: Served) -> None:
    for name in ("a", "b", "c"):
        served.ad(f"ad_{name}", f"advertiser_{name}", f"campaign_{name}")
    page = served.admin.get("/v1/campaigns", params={"limit": 2}).json()
    assert [campaign["campaign_id"] for campaign in page["campaigns"]] == ["campaign_a", "campaign_b"]
    assert page["next"] == "campaign_b"
    page = served.admin.get("/v1/advertisers", params={"after": "advertiser_b"}).json()
    assert page == {"advertisers": [{"advertiser_id": "advertiser_c", "name": ""}], "next": None}


def test_an_ad_is_changed_in_what_was_named_and_in_nothing_else(served: Served) -> None:
    served.ad("ad_1", "acme", "spring")
    answer = served.admin.patch("/v1/ads/ad_1", json={"status": "paused", "name": "Spring sale"})
    expected = Ad("ad_1", "acme", "https://shop.example/", "spring", "Spring sale", "paused")
    assert msgspec.convert(answer.json(), Ad) == expected
    assert served.registry.ad("ad_1") == expected
    assert served.admin.get("/v1/ads/ad_1").json() == answer.json()


def test_an_unknown_ad_cannot_be_changed(served: Served) -> None:
    assert served.admin.patch("/v1/ads/nothing", json={"name": "x"}).status_code == 404


def test_another_advertisers_campaign_is_a_conflict(served: Served) -> None:
    served.ad("ad_1", "acme")
    served.ad("ad_2", "other", "autumn")
    answer = served.admin.patch("/v1/ads/ad_1", json={"campaign_id": "autumn"})
    assert (answer.status_code, answer.json()["type"]) == (409, "/docs#problem-conflict")


@pytest.mark.parametrize("ad_id", ["a/b", "import", "ünïcode", "a b", "100%", "?", "..", "a\\b", "a+b"])
def test_an_ad_is_found_by_any_id(served: Served, ad_id: str) -> None:
    served.ad(ad_id, "acme")
    path = "/v1/ads/" + quote(ad_id, safe="").replace(".", "%2E")
    assert served.admin.get(path).json()["ad_id"] == ad_id
    assert served.admin.patch(path, json={"name": "x"}).json()["ad_id"] == ad_id


def test_a_key_is_made_listed_and_revoked(served: Served) -> None:
    served.ad("ad_1", "acme")
    made = served.admin.post("/v1/keys", json={"advertiser_id": "acme"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    new = made.json()
    assert new.keys() == {"key", "key_id", "advertiser_id", "scope", "expires_ms"}
    assert served.client(new["key"]).get("/v1/ads").status_code == 200
    listed = served.admin.get("/v1/keys")
    assert new["key"] not in listed.text
    assert [key["revoked_ms"] for key in listed.json()["keys"] if key["key_id"] == new["key_id"]] == [None]
    revoked = served.admin.delete(f"/v1/keys/{new['key_id']}").json()
    assert revoked["revoked_ms"] == served.clock.now_ms()
    served.clock.at_s += 1.1
    assert served.client(new["key"]).get("/v1/ads").status_code == 401


def test_an_admins_key_is_made_with_null(served: Served) -> None:
    new = served.admin.post("/v1/keys", json={"advertiser_id": None}).json()
    assert served.client(new["key"]).get("/v1/keys").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"), [("POST", "/v1/keys", b'{"advertiser_id": "nobody"}'), ("DELETE", "/v1/keys/none", b"")]
)
def test_keys_for_nobody_and_of_nobody_are_not_found(served: Served, method: str, path: str, body: bytes) -> None:
    assert served.admin.request(method, path, content=body).status_code == 404


def test_about_says_where_clicks_go(served: Served) -> None:
    assert served.admin.get("/v1/about").json()["click_url"] == "http://127.0.0.1:8080"
