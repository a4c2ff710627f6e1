"""/v1/compare: the numbers of two periods side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.serving import NOW_MS, Served, ms, report


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.ad("ad_1", "acme")
        served.progress.update(report(NOW_MS - 500))
        yield served


def ask(served: Served, start: str, end: str, **more: str) -> Any:
    answer = served.admin.get("/v1/compare", params={"start": start, "end": end, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_running_day_is_compared_with_the_same_part_of_the_day_before(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-22T11:59:59Z")
    served.click("ad_1", "bob", "2026-11-22T12:00:00Z")
    for user in ("ann", "bob", "bob"):
        served.click("ad_1", user, "2026-11-23T11:00:00Z")
    served.click("ad_1", "eve", "2026-11-23T12:00:10Z")
    for end in ("2026-11-24T00:00:00Z", "2026-11-23T12:00:30Z", "2026-11-23T11:59:59Z"):
        assert ask(served, "2026-11-23T00:00:00Z", end, granularity="day") == {
            "current": {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T12:00:00Z", "clicks": 3, "unique_users": 2},
            "previous": {
                "start": "2026-11-22T00:00:00Z",
                "end": "2026-11-22T12:00:00Z",
                "clicks": 1,
                "unique_users": 1,
            },
            "change": {"clicks": 2.0, "unique_users": 1.0},
            "series": [
                {
                    "timestamp": "2026-11-23T00:00:00Z",
                    "clicks": 3,
                    "unique_users": 2,
                    "previous_timestamp": "2026-11-22T00:00:00Z",
                    "previous_clicks": 1,
                    "previous_unique_users": 1,
                    "status": "provisional",
                }
            ],
            "as_of": "2026-11-23T12:00:29.500Z",
            "final_through": None,
        }


def test_what_is_not_counted_yet_is_compared_with_nothing(served: Served) -> None:
    served.progress.as_of_ms = ms("2026-11-23T09:30:10Z")
    answer = ask(served, "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z")
    assert answer["current"]["end"] == "2026-11-23T09:30:00Z"
    assert answer["previous"]["end"] == "2026-11-22T09:30:00Z"


def test_nothing_before_makes_no_change(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T11:00:00Z")
    answer = ask(served, "2026-11-23T10:30:00Z", "2026-11-23T11:30:00Z", granularity="hour")
    assert answer["change"] == {"clicks": None, "unique_users": None}
    assert [row["clicks"] for row in answer["series"]] == [0, 1]
    assert [row["previous_timestamp"] for row in answer["series"]] == ["2026-11-23T09:30:00Z", "2026-11-23T10:00:00Z"]


def test_a_month_is_compared_with_the_month_before_day_by_day(served: Served) -> None:
    served.click("ad_1", "ann", "2026-10-01T05:00:00Z")
    served.click("ad_1", "ann", "2026-09-30T05:00:00Z")
    served.click("ad_1", "ann", "2026-10-31T05:00:00Z")
    answer = ask(served, "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")
    assert (answer["previous"]["start"], answer["previous"]["end"]) == ("2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z")
    assert len(answer["series"]) == 31
    assert [row["previous_clicks"] for row in answer["series"]] == [0] * 29 + [1, None]
    assert [row["clicks"] for row in answer["series"]] == [1, *[0] * 29, 1]


def test_this_month_may_be_compared_as_a_whole_by_day(served: Served) -> None:
    answer = ask(served, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", granularity="day")
    assert answer["current"]["end"] == "2026-11-23T12:00:00Z"
    assert (answer["previous"]["start"], answer["previous"]["end"]) == ("2026-10-01T00:00:00Z", "2026-10-23T12:00:00Z")
    assert len(answer["series"]) == 23


def test_a_period_that_has_not_begun_is_empty(served: Served) -> None:
    answer = ask(served, "2026-11-23T13:00:00Z", "2026-11-23T14:00:00Z")
    assert answer["series"] == []
    assert answer["current"] == {
        "start": "2026-11-23T13:00:00Z",
        "end": "2026-11-23T13:00:00Z",
        "clicks": 0,
        "unique_users": 0,
    }


def test_days_of_a_zone_are_compared_by_its_calendar(served: Served) -> None:
    answer = ask(
        served,
        "2026-10-26T00:00:00+01:00",
        "2026-10-27T00:00:00+01:00",
        granularity="hour",
        timezone="Europe/Berlin",
    )
    # 25 October had 25 hours.
    assert answer["previous"]["start"] == "2026-10-25T00:00:00+02:00"
    assert answer["previous"]["end"] == "2026-10-26T00:00:00+01:00"
    assert len(answer["series"]) == 24


def test_a_comparison_that_is_kept_is_made_anew_when_either_period_is_corrected(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T08:05:00Z")
    served.click("ad_1", "ann", "2026-11-23T09:05:00Z")
    hour = ("2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z")
    for period in ("2026-11-23T08:00:00Z", "2026-11-23T09:00:00Z"):
        served.publish(period)
    before = ask(served, *hour, granularity="hour")
    served.olap.queries.clear()
    assert ask(served, *hour, granularity="hour") == before
    assert served.olap.queries == []
    served.click("ad_1", "late", "2026-11-23T08:06:00Z")
    served.publish("2026-11-23T08:00:00Z", revision=2)
    after = ask(served, *hour, granularity="hour")
    assert (after["previous"]["clicks"], after["current"]["clicks"]) == (2, 1)


def test_a_period_that_is_not_counted_to_its_end_is_not_kept(served: Served) -> None:
    served.progress.as_of_ms = ms("2026-11-23T09:30:10Z")
    hour = ("2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z")
    assert ask(served, *hour, granularity="minute")["current"]["end"] == "2026-11-23T09:30:00Z"
    served.progress.as_of_ms = NOW_MS
    assert ask(served, *hour, granularity="minute")["current"]["end"] == "2026-11-23T10:00:00Z"


def test_a_period_that_has_not_begun_to_be_counted_is_compared_each_time_anew(served: Served) -> None:
    served.progress.as_of_ms = ms("2026-11-23T08:00:00Z")
    hour = ("2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z")
    assert ask(served, *hour)["current"]["end"] == "2026-11-23T09:00:00Z"
    served.progress.as_of_ms = NOW_MS
    assert ask(served, *hour)["current"]["end"] == "2026-11-23T10:00:00Z"
