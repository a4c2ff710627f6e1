import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adtally.olap.port import EVERYONE
from support.serving import NOW_MS, Served, ms, report


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.ad("ad_1", "acme")
        yield served


def ask(served: Served, start: str, end: str, **more: str) -> Any:
    answer = served.admin.get("/metrics", params={"ad_id": "ad_1", "start": start, "end": end, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_answer_has_the_form_that_the_design_fixed(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:00:10Z")
    served.click("ad_1", "bob", "2026-11-23T10:01:10Z")
    served.click("ad_1", "ann", "2026-11-23T10:01:50Z")
    served.progress.update(report(NOW_MS - 1_234))
    open_still = {"status": "provisional", "revision": 0}
    assert ask(served, "2026-11-23T10:00:00Z", "2026-11-23T10:03:00Z") == {
        "ad_id": "ad_1",
        "metrics": [
            {"timestamp": "2026-11-23T10:00:00Z", "clicks": 1, "unique_users": 1} | open_still,
            {"timestamp": "2026-11-23T10:01:00Z", "clicks": 2, "unique_users": 2} | open_still,
            {"timestamp": "2026-11-23T10:02:00Z", "clicks": 0, "unique_users": 0} | open_still,
        ],
        "totals": {"clicks": 3, "unique_users": 2},
        "as_of": "2026-11-23T12:00:28.766Z",
        "final_through": None,
        "granularity": "minute",
        "timezone": "UTC",
        "unique_users_method": "uniqCombined(17)",
        "unique_users_error": 0.0033,
    }


def test_only_counted_clicks_count(served: Served) -> None:
    for outcome in ("duplicate", "bot", "head", "prefetch", "paused_ad", "counted"):
        served.click("ad_1", f"user of {outcome}", "2026-11-23T10:00:10Z", outcome=outcome)
    answer = ask(served, "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z")
    assert answer["totals"] == {"clicks": 1, "unique_users": 1}
    assert answer["metrics"][0]["clicks"] == 1


def test_shards_add_up_and_repeats_do_not(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:00:10Z", shard="0")
    served.click("ad_1", "bob", "2026-11-23T10:00:20Z", shard="1")
    served.olap.rows *= 2
    assert ask(served, "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z")["totals"]["clicks"] == 2


def test_the_end_is_not_included(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:01:00Z")
    assert ask(served, "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z")["totals"]["clicks"] == 0
    assert ask(served, "2026-11-23T10:01:00Z", "2026-11-23T10:02:00Z")["totals"]["clicks"] == 1


def test_a_start_and_an_end_inside_a_minute_take_that_minute_in(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:00:10Z")
    served.click("ad_1", "bob", "2026-11-23T10:02:40Z")
    answer = ask(served, "2026-11-23T10:00:30Z", "2026-11-23T10:02:30Z")
    assert [row["timestamp"][11:16] for row in answer["metrics"]] == ["10:00", "10:01", "10:02"]
    assert answer["totals"]["clicks"] == 2


def test_epoch_seconds_and_every_way_to_write_an_offset_mean_the_same(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:00:10Z")
    expected = ask(served, "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z")
    begin_s = ms("2026-11-23T10:00:00Z") // 1000
    assert ask(served, str(begin_s), str(begin_s + 60)) == expected
    assert ask(served, "2026-11-23T15:30:00+05:30", "2026-11-23T10:01:00.000z") == expected
    raw = served.admin.get("/metrics?ad_id=ad_1&start=2026-11-23T11:00:00+01:00&end=2026-11-23t11:01:00%2B01:00")
    assert raw.json() == expected


def test_buckets_end_with_the_one_that_holds_now(served: Served) -> None:
    answer = ask(served, "2026-11-23T11:58:00Z", "2026-11-24T00:00:00Z")
    assert [row["timestamp"][11:16] for row in answer["metrics"]] == ["11:58", "11:59", "12:00"]


def test_a_range_in_the_near_future_is_empty(served: Served) -> None:
    answer = ask(served, "2026-11-23T13:00:00Z", "2026-11-23T14:00:00Z")
    assert answer["metrics"] == []
    assert answer["totals"] == {"clicks": 0, "unique_users": 0}


def test_this_month_may_be_asked_for_as_a_whole(served: Served) -> None:
    answer = ask(served, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", granularity="month")
    assert [row["timestamp"] for row in answer["metrics"]] == ["2026-11-01T00:00:00Z"]


def test_days_of_a_zone_begin_at_its_midnight_and_carry_its_offset(served: Served) -> None:
    served.click("ad_1", "ann", "2026-10-24T22:00:00Z")
    served.click("ad_1", "bob", "2026-10-25T22:59:00Z")
    served.click("ad_1", "ann", "2026-10-25T23:00:00Z")
    answer = ask(
        served,
        "2026-10-25T00:00:00+02:00",
        "2026-10-27T00:00:00+01:00",
        granularity="day",
        timezone="Europe/Berlin",
    )
    assert [(row["timestamp"], row["clicks"]) for row in answer["metrics"]] == [
        ("2026-10-25T00:00:00+02:00", 2),
        ("2026-10-26T00:00:00+01:00", 1),
    ]
    assert answer["timezone"] == "Europe/Berlin"


def test_a_day_that_is_partly_in_the_range_counts_only_that_part(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-20T05:00:00Z")
    served.click("ad_1", "bob", "2026-11-20T15:00:00Z")
    answer = ask(served, "2026-11-20T12:00:00Z", "2026-11-21T00:00:00Z", granularity="day")
    assert [(row["timestamp"], row["clicks"]) for row in answer["metrics"]] == [("2026-11-20T00:00:00Z", 1)]


def test_each_device_has_a_row_in_each_bucket(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:00:10Z", device="mobile")
    served.click("ad_1", "ann", "2026-11-23T10:01:10Z", device="tablet")
    answer = ask(served, "2026-11-23T10:00:00Z", "2026-11-23T10:02:00Z", group_by="device")
    assert [(row["timestamp"][14:16], row["device"], row["clicks"]) for row in answer["metrics"]] == [
        (minute, device, int((minute, device) in {("00", "mobile"), ("01", "tablet")}))
        for minute in ("00", "01")
        for device in ("desktop", "mobile", "tablet", "bot", "other")
    ]
    assert answer["totals"] == {"clicks": 2, "unique_users": 1}


def test_a_device_that_this_version_does_not_know_is_not_lost(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:00:10Z", device="television")
    answer = ask(served, "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z", group_by="device")
    assert [row["clicks"] for row in answer["metrics"] if row["device"] == "television"] == [1]


def test_an_ad_without_clicks_has_zeros(served: Served) -> None:
    answer = ask(served, "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z")
    assert [row["clicks"] for row in answer["metrics"]] == [0]
    assert answer["as_of"] is None


def test_csv_says_the_same_and_does_not_start_formulas(served: Served) -> None:
    served.ad("=1+2", "acme")
    served.click("=1+2", "ann", "2026-11-23T10:00:10Z")
    answer = served.admin.get(
        "/metrics",
        params={"ad_id": "=1+2", "start": "2026-11-23T10:00:00Z", "end": "2026-11-23T10:02:00Z", "format": "csv"},
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="metrics-_1_2.csv"'
    assert list(csv.reader(io.StringIO(answer.text, newline=""))) == [
        ["ad_id", "timestamp", "clicks", "unique_users", "status", "revision"],
        ["'=1+2", "2026-11-23T10:00:00Z", "1", "1", "provisional", "0"],
        ["'=1+2", "2026-11-23T10:01:00Z", "0", "0", "provisional", "0"],
    ]
    assert answer.text.count("\r\n") == answer.text.count("\n") == 3


def test_csv_by_device_has_a_column_for_it(served: Served) -> None:
    more = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T10:01:00Z", "format": "csv", "group_by": "device"}
    lines = served.admin.get("/metrics", params={"ad_id": "ad_1", **more}).text.splitlines()
    assert lines[0] == "ad_id,timestamp,device,clicks,unique_users,status,revision"
    assert lines[1] == "ad_1,2026-11-23T10:00:00Z,desktop,0,0,provisional,0"


def test_queries_about_one_ad_name_its_advertiser_whoever_asks(served: Served) -> None:
    # The store's primary key begins with the advertiser.
    span = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T10:01:00Z"}
    for client in (served.as_advertiser("acme"), served.admin):
        for path in ("/metrics", "/v1/quality", "/v1/series"):
            served.olap.queries.clear()
            assert client.get(path, params={"ad_id": "ad_1", **span}).status_code == 200
            assert {query.tenant for query in served.olap.queries} == {"acme"}
    served.olap.queries.clear()
    for path in ("/v1/quality", "/v1/series"):
        assert served.admin.get(path, params=span).status_code == 200
    assert {query.tenant is EVERYONE for query in served.olap.queries} == {True}
