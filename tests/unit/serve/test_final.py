"""Numbers that settle: status, revision, and the tables that answers are read from."""

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adtally.config import ReconcileConfig
from adtally.errors import StoreUnavailableError
from adtally.olap.port import Source
from support.ledger_lines import HOUR_MS
from support.serving import Served, ms

HOUR = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"}
TWO_HOURS = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T12:00:00Z", "granularity": "hour"}

RETENTION = ReconcileConfig(minute_days=10, quarter_hour_days=40)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path, reconcile=RETENTION) as served:
        served.ad("ad_1", "acme")
        yield served


def ask(served: Served, path: str, **params: str) -> Any:
    answer = served.admin.get(path, params={"ad_id": "ad_1", **params} if path == "/metrics" else params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["clicks"], row["unique_users"], row["status"], row["revision"]) for row in rows]


def test_a_bucket_shows_live_numbers_until_its_hour_is_final_and_the_recounted_ones_then(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:05:00Z")
    served.click("ad_1", "ghost", "2026-11-23T10:50:00Z")
    served.click("ad_1", "ann", "2026-11-23T11:05:00Z")
    before = ask(served, "/metrics", **TWO_HOURS)
    assert told(before["metrics"]) == [(2, 2, "provisional", 0), (1, 1, "provisional", 0)]
    assert before["final_through"] is None
    served.publish("2026-11-23T10:00:00Z", but=["ghost"])
    after = ask(served, "/metrics", **TWO_HOURS)
    assert told(after["metrics"]) == [(1, 1, "final", 1), (1, 1, "provisional", 0)]
    assert after["final_through"] == "2026-11-23T11:00:00Z"
    # One person in a final and in a live hour is one person.
    assert after["totals"] == {"clicks": 2, "unique_users": 1}


def test_a_correction_raises_the_revision_and_is_seen_by_the_next_question(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:05:00Z")
    served.click("ad_1", "late", "2026-11-23T10:06:00Z")
    served.publish("2026-11-23T10:00:00Z", but=["late"])
    assert told(ask(served, "/metrics", **HOUR, granularity="hour")["metrics"]) == [(1, 1, "final", 1)]
    served.publish("2026-11-23T10:00:00Z", revision=2)
    assert told(ask(served, "/metrics", **HOUR, granularity="hour")["metrics"]) == [(2, 2, "final", 2)]


def test_a_damaged_hour_keeps_the_numbers_that_were_published(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:05:00Z")
    served.publish("2026-11-23T10:00:00Z", state="damaged", revision=1)
    served.click("ad_1", "bob", "2026-11-23T10:06:00Z")
    assert told(ask(served, "/metrics", **HOUR, granularity="hour")["metrics"]) == [(1, 1, "final", 1)]


def test_a_damaged_hour_that_was_never_published_is_read_from_live(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:05:00Z")
    served.publish("2026-11-23T10:00:00Z", but=["ann"], state="damaged", revision=0)
    assert told(ask(served, "/metrics", **HOUR, granularity="hour")["metrics"]) == [(1, 1, "provisional", 0)]


def test_the_csv_has_the_revision_at_its_end(served: Served) -> None:
    served.publish("2026-11-23T10:00:00Z", revision=3)
    answer = served.admin.get("/metrics", params={"ad_id": "ad_1", **HOUR, "granularity": "hour", "format": "csv"})
    header, row = csv.reader(io.StringIO(answer.text, newline=""))
    assert dict(zip(header, row, strict=True))["revision"] == "3"
    assert header[-2:] == ["status", "revision"]


def test_each_device_of_a_bucket_is_as_final_as_the_bucket(served: Served) -> None:
    served.publish("2026-11-23T10:00:00Z")
    rows = ask(served, "/metrics", **TWO_HOURS, group_by="device")["metrics"]
    assert [row["status"] for row in rows] == ["final"] * 5 + ["provisional"] * 5


def test_every_question_about_numbers_reads_final_tables_where_the_ledger_says_so(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:05:00Z")
    served.click("ad_1", "ghost", "2026-11-23T10:06:00Z")
    served.publish("2026-11-23T10:00:00Z", but=["ghost"], revision=2)
    for path, clicks in (
        ("/v1/series", lambda answer: answer["series"][0]),
        ("/v1/top", lambda answer: {**answer["top"][0], **answer}),
        ("/v1/quality", lambda answer: {"clicks": answer["counted"], **answer}),
    ):
        served.olap.queries.clear()
        more = {"granularity": "hour"} if path == "/v1/series" else {}
        answer = ask(served, path, **HOUR, **more)
        found = clicks(answer)
        assert (found["clicks"], found["status"], found["revision"]) == (1, "final", 2), path
        assert answer["final_through"] == "2026-11-23T11:00:00Z"
        sources = {query.sources for query in served.olap.queries}
        assert sources == {(Source("quarter_hour", ms(HOUR["start"]), ms(HOUR["end"])),)}


def test_buckets_and_totals_are_one_query(served: Served) -> None:
    served.publish("2026-11-23T10:00:00Z")
    for path, queries in (("/metrics", 1), ("/v1/series", 1), ("/v1/compare", 2)):
        served.olap.queries.clear()
        ask(served, path, **HOUR, granularity="minute")
        assert [query.totals for query in served.olap.queries] == [True] * queries


def test_days_come_from_the_day_table_where_it_was_built(served: Served) -> None:
    served.click("ad_1", "ann", "2026-11-20T10:05:00Z")
    served.click("ad_1", "ann", "2026-11-21T10:05:00Z")
    served.publish_days("2026-11-20T00:00:00Z", 3)
    span = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-22T00:00:00Z", "granularity": "day"}
    served.olap.queries.clear()
    answer = ask(served, "/metrics", **span)
    assert told(answer["metrics"]) == [(1, 1, "final", 1)] * 2
    assert answer["totals"] == {"clicks": 2, "unique_users": 1}
    assert {query.sources for query in served.olap.queries} == {(Source("day", ms(span["start"]), ms(span["end"])),)}
    served.ledger.write(served.ledger.lines(ms(span["start"]), ms(span["end"]))[0], dirty=[("day", ms(span["start"]))])
    served.olap.queries.clear()
    assert told(ask(served, "/metrics", **span)["metrics"]) == [(1, 1, "final", 1)] * 2
    assert [source.table for source in served.olap.queries[0].sources] == ["quarter_hour", "day"]


def refused(served: Served, path: str, **params: str) -> tuple[str, str]:
    answer = served.admin.get(path, params=params)
    assert (answer.status_code, answer.json()["type"]) == (422, "/docs#problem-no-longer-kept"), answer.text
    return answer.json()["field"], answer.json()["detail"]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Fifty days of hours up to 23 November; of the last 40 quarter hours are kept, and of the last 10 minutes."""
    with Served(tmp_path_factory.mktemp("old"), reconcile=RETENTION) as served:
        served.ad("ad_1", "acme")
        served.publish_days("2026-10-04T00:00:00Z", 50)
        yield served


@pytest.mark.parametrize(
    ("asked", "start", "end", "zone", "finest"),
    [
        ("minute", "2026-11-12T00:00:00Z", "2026-11-13T00:00:00Z", "UTC", "hour"),
        ("minute", "2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z", "UTC", "day"),
        ("hour", "2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z", "UTC", "day"),
        ("minute", "2026-11-12T18:15:00Z", "2026-11-13T18:15:00Z", "Asia/Kathmandu", "hour"),
    ],
)
def test_a_granularity_that_is_gone_names_the_finest_one_that_is_there(
    old: Served, asked: str, start: str, end: str, zone: str, finest: str
) -> None:
    params = {"ad_id": "ad_1", "start": start, "end": end, "timezone": zone}
    for path in ("/metrics", "/v1/series"):
        field, detail = refused(old, path, **params, granularity=asked)
        assert field == "granularity"
        assert f"{asked} is no longer kept for all of this range: the finest that still is there is {finest};" in detail
    assert old.admin.get("/metrics", params={**params, "granularity": finest}).status_code == 200


def test_what_no_granularity_can_answer_says_how_to_ask(old: Served) -> None:
    ragged = {"start": "2026-11-12T00:07:00Z", "end": "2026-11-13T00:00:00Z"}
    advice = "before 2026-11-13T12:00:00Z only quarter hours are kept"
    field, detail = refused(old, "/metrics", ad_id="ad_1", **ragged, granularity="day")
    assert (field, advice in detail) == ("granularity", True)
    for path in ("/v1/top", "/v1/quality"):
        field, detail = refused(old, path, **ragged)
        assert (field, advice in detail) == ("start", True)
    field, _ = refused(old, "/v1/top", start="2026-11-12T00:00:00Z", end="2026-11-13T00:07:00Z")
    assert field == "end"
    local_days = {"start": "2026-10-04T22:00:00Z", "end": "2026-10-06T22:00:00Z", "timezone": "Europe/Berlin"}
    _, detail = refused(old, "/metrics", ad_id="ad_1", **local_days, granularity="day")
    assert "before 2026-10-14T00:00:00Z only UTC days are kept" in detail


def test_nothing_is_gone_of_the_time_before_the_first_line(old: Served) -> None:
    answer = ask(old, "/metrics", start="2026-10-03T22:00:00Z", end="2026-10-04T00:00:00Z")
    assert {(row["clicks"], row["status"], row["revision"]) for row in answer["metrics"]} == {(0, "final", 0)}


def test_the_ledger_is_asked_before_the_tables(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.click("ad_1", "ann", "2026-11-23T10:05:00Z")
    asked: list[str] = []
    summaries, aggregate = served.ledger.summaries, served.olap.aggregate

    def noting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            asked.append(name)
            return call(*given)

        return noted

    monkeypatch.setattr(served.ledger, "summaries", noting("ledger", summaries))
    monkeypatch.setattr(served.olap, "aggregate", noting("tables", aggregate))
    for path in ("/metrics", "/v1/series", "/v1/top", "/v1/quality"):
        asked.clear()
        ask(served, path, **HOUR)
        assert "tables" in asked, path
        # By the cache, whose key it is a part of, and by the handler.
        assert asked[:2] == ["ledger", "ledger"], path
        assert set(asked[2:]) == {"tables"}, path


def test_a_ledger_that_does_not_answer_is_503(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailableError("the ledger is away")

    monkeypatch.setattr(served.ledger, "summaries", fail)
    monkeypatch.setattr(served.ledger, "ping", fail)
    assert served.admin.get("/v1/top", params=HOUR).status_code == 503
    status = served.admin.get("/v1/status").json()
    assert (status["ledger"], status["hours"]) == ({"healthy": False, "reason": "the ledger is away"}, None)
    assert math.isnan(gauge(served, "adtally_ledger_missing"))


def gauge(served: Served, name: str) -> float:
    text = served.anonymous.get("/-/metrics").text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, name
    return float(found[1])


def test_status_and_the_counts_tell_how_the_hours_are(served: Served) -> None:
    assert math.isnan(gauge(served, "adtally_ledger_final_age_seconds"))
    served.publish("2026-11-23T08:00:00Z", missing=2, difference=5)
    served.publish("2026-11-23T09:00:00Z", state="damaged", missing=1, difference=1)
    served.publish("2026-11-23T08:00:00Z", revision=2, missing=1, difference=3)
    assert served.admin.get("/v1/status").json()["hours"] == {
        "final_through": "2026-11-23T10:00:00Z",
        "last_commit": 3,
        "open": 3,
        "damaged": 1,
        "missing": 2,
    }
    assert gauge(served, 'adtally_ledger_states{state="final"}') == 1
    assert gauge(served, 'adtally_ledger_states{state="damaged"}') == 1
    assert gauge(served, 'adtally_ledger_states{state="open"}') == 0
    assert gauge(served, "adtally_ledger_missing") == 2
    assert gauge(served, "adtally_ledger_difference") == 4
    assert gauge(served, "adtally_ledger_final_age_seconds") == 2 * HOUR_MS / 1000 + 30
