"""Filters, filled series and totals: /v1/series, /v1/top and /v1/quality narrowed."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.serving import Served

SPAN = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("filters")) as served:
        served.ad("ad_1", "acme", "spring")
        served.ad("ad_2", "acme")
        served.ad("ad_3", "other", "autumn")
        served.click("ad_1", "ann", "2026-11-23T10:00:00Z", campaign="spring", device="mobile")
        served.click("ad_1", "bob", "2026-11-23T10:01:00Z", campaign="spring")
        served.click("ad_2", "ann", "2026-11-23T10:01:00Z", device="tablet")
        served.click("ad_2", "ann", "2026-11-23T10:01:10Z", device="tablet", outcome="duplicate")
        served.click("ad_3", "eve", "2026-11-23T10:59:00Z", advertiser="other", campaign="autumn", device="mobile")
        yield served


def ask(served: Served, path: str, **more: str) -> Any:
    answer = served.admin.get(path, params={**SPAN, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


FILTERS: list[tuple[dict[str, str], int]] = [
    ({}, 4),
    ({"ad_id": "ad_1"}, 2),
    ({"campaign_id": "spring"}, 2),
    ({"campaign_id": ""}, 1),
    ({"device": "mobile"}, 2),
    ({"device": "mobile,tablet"}, 3),
    ({"advertiser_id": "acme"}, 3),
    ({"advertiser_id": "acme", "device": "mobile"}, 1),
    ({"advertiser_id": "acme", "ad_id": "ad_2"}, 1),
    ({"ad_id": "ad_1", "campaign_id": "spring", "device": "desktop"}, 1),
    ({"ad_id": "ad_1", "campaign_id": "autumn"}, 0),
]


@pytest.mark.parametrize(("filters", "clicks"), FILTERS)
def test_every_address_counts_what_the_filters_leave(served: Served, filters: dict[str, str], clicks: int) -> None:
    assert ask(served, "/v1/quality", **filters)["counted"] == clicks
    assert ask(served, "/v1/series", **filters)["totals"]["clicks"] == clicks
    for things in ("ads", "campaigns", "devices", "advertisers"):
        assert sum(row["clicks"] for row in ask(served, "/v1/top", of=things, **filters)["top"]) == clicks
    compared = ask(served, "/v1/compare", **filters, granularity="minute")
    assert compared["current"]["clicks"] == sum(row["clicks"] for row in compared["series"]) == clicks


def test_an_ad_of_another_advertiser_than_asked_is_not_found(served: Served) -> None:
    answer = served.admin.get("/v1/series", params={**SPAN, "ad_id": "ad_3", "advertiser_id": "acme"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "no ad 'ad_3' of advertiser 'acme'")


def test_the_totals_of_a_series_count_a_person_once(served: Served) -> None:
    answer = ask(served, "/v1/series", advertiser_id="acme", granularity="minute")
    assert answer["totals"] == {"clicks": 3, "unique_users": 2}
    assert sum(row["unique_users"] for row in answer["series"]) == 3


def test_a_filled_series_has_every_bucket_up_to_now(served: Served) -> None:
    rows = ask(served, "/v1/series", start="2026-11-23T10:58:00Z", end="2026-11-24T00:00:00Z", fill="true")["series"]
    assert [row["timestamp"][11:16] for row in rows[:3]] == ["10:58", "10:59", "11:00"]
    assert rows[-1]["timestamp"] == "2026-11-23T12:00:00Z"
    assert len(rows) == 63
    assert [row["timestamp"][11:16] for row in rows if row["clicks"]] == ["10:59"]


def test_the_top_of_devices_names_devices(served: Served) -> None:
    assert ask(served, "/v1/top", of="devices")["top"] == [
        {"device": "mobile", "clicks": 2, "unique_users": 2},
        {"device": "desktop", "clicks": 1, "unique_users": 1},
        {"device": "tablet", "clicks": 1, "unique_users": 1},
    ]
