"""/v1/quality, /v1/series, /v1/top."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adtally.olap.port import AggregateQuery, AggregateRow
from adtally.serve import series
from support.serving import NOW_MS, Served, report

SPAN = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("queries")) as served:
        served.ad("ad_1", "acme", "spring")
        served.ad("ad_2", "acme")
        served.click("ad_1", "ann", "2026-11-23T10:00:00Z", campaign="spring")
        served.click("ad_1", "ann", "2026-11-23T10:05:00Z", campaign="spring", device="mobile")
        served.click("ad_1", "ann", "2026-11-23T10:06:00Z", campaign="spring")
        served.click("ad_2", "bob", "2026-11-23T10:00:30Z")
        served.click("ad_2", "eve", "2026-11-23T10:00:40Z")
        served.click("ad_2", "eve", "2026-11-23T10:00:41Z", outcome="duplicate")
        served.click("ad_2", "spider", "2026-11-23T10:00:42Z", outcome="bot")
        served.click("ad_2", "late", "2026-11-23T11:00:00Z")
        served.progress.update(report(NOW_MS - 500))
        yield served


def ask(served: Served, path: str, **more: str) -> Any:
    answer = served.admin.get(path, params={**SPAN, **more})
    assert answer.status_code == 200, answer.text
    assert answer.json()["as_of"] == "2026-11-23T12:00:29.500Z"
    return answer.json()


def test_every_event_received_has_one_outcome(served: Served) -> None:
    assert ask(served, "/v1/quality") == {
        "received": 7,
        "counted": 5,
        "duplicate": 1,
        "invalid": {"head": 0, "prefetch": 0, "bot": 1, "paused_ad": 0},
        "as_of": "2026-11-23T12:00:29.500Z",
        "final_through": None,
        "status": "provisional",
        "revision": 0,
    }


def test_quality_of_one_ad_is_of_that_ad(served: Served) -> None:
    assert ask(served, "/v1/quality", ad_id="ad_1")["received"] == 3
    assert ask(served, "/v1/quality", advertiser_id="acme")["received"] == 7


def test_an_outcome_that_this_version_does_not_know_is_invalid_and_not_lost(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        served.click("ad_1", "ann", "2026-11-23T10:00:00Z", outcome="bad_signature")
        answer = served.admin.get("/v1/quality", params=SPAN).json()
    assert (answer["received"], answer["invalid"]["bad_signature"]) == (1, 1)


def test_a_series_has_only_what_was_clicked(served: Served) -> None:
    rows = ask(served, "/v1/series", group_by="ad_id")["series"]
    assert [(row["timestamp"], row["ad_id"], row["clicks"], row["unique_users"]) for row in rows] == [
        ("2026-11-23T10:00:00Z", "ad_1", 1, 1),
        ("2026-11-23T10:00:00Z", "ad_2", 2, 2),
        ("2026-11-23T10:05:00Z", "ad_1", 1, 1),
        ("2026-11-23T10:06:00Z", "ad_1", 1, 1),
    ]


def test_a_series_by_hour_counts_a_person_once(served: Served) -> None:
    rows = ask(served, "/v1/series", granularity="hour", group_by="campaign_id,device")["series"]
    assert [(row["campaign_id"], row["device"], row["clicks"], row["unique_users"]) for row in rows] == [
        ("", "desktop", 2, 2),
        ("spring", "desktop", 2, 1),
        ("spring", "mobile", 1, 1),
    ]
    (hour,) = ask(served, "/v1/series", granularity="hour", ad_id="ad_1")["series"]
    assert hour == {
        "timestamp": "2026-11-23T10:00:00Z",
        "clicks": 3,
        "unique_users": 1,
        "status": "provisional",
        "revision": 0,
    }


def test_a_series_of_the_future_is_empty(served: Served) -> None:
    span = {"start": "2026-11-23T13:00:00Z", "end": "2026-11-23T14:00:00Z"}
    assert served.admin.get("/v1/series", params=span).json()["series"] == []


class ManyRows:
    """Implements OlapReader: as many rows as are asked for, up to `number`, and totals that nobody looks at."""

    def __init__(self, number: int) -> None:
        self.number = number

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        rows = [AggregateRow((0, f"ad_{index:07}"), index, index) for index in range(min(self.number, query.limit))]
        return [*rows, *([AggregateRow((), 0, 0)] if query.totals else [])]


@pytest.mark.parametrize("number", [1, series.CHUNK_ROWS, 3 * series.CHUNK_ROWS + 1])
def test_a_series_comes_whole_however_many_pieces_it_has(tmp_path: Path, number: int) -> None:
    with Served(tmp_path, reader=ManyRows(number)) as served:
        rows = served.admin.get("/v1/series", params={**SPAN, "group_by": "ad_id"}).json()["series"]
    assert [row["clicks"] for row in rows] == list(range(number))


def test_a_series_with_too_many_rows_is_refused_and_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "ROWS_MAX", 100)
    with Served(tmp_path, reader=ManyRows(101)) as served:
        answer = served.admin.get("/v1/series", params={**SPAN, "group_by": "ad_id"})
    assert (answer.status_code, answer.json()["field"]) == (400, "end")


def test_the_top_is_by_clicks_or_by_users(served: Served) -> None:
    assert ask(served, "/v1/top")["top"] == [
        {"ad_id": "ad_1", "clicks": 3, "unique_users": 1},
        {"ad_id": "ad_2", "clicks": 2, "unique_users": 2},
    ]
    assert [row["ad_id"] for row in ask(served, "/v1/top", by="users")["top"]] == ["ad_2", "ad_1"]
    assert [row["ad_id"] for row in ask(served, "/v1/top", limit="1")["top"]] == ["ad_1"]


def test_ads_without_a_campaign_stand_under_the_empty_one(served: Served) -> None:
    assert [(row["campaign_id"], row["clicks"]) for row in ask(served, "/v1/top", of="campaigns")["top"]] == [
        ("spring", 3),
        ("", 2),
    ]
