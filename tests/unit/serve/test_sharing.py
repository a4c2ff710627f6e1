"""Answers that are given again: to whom, until when, and that they are made once."""

import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import CacheError
from adtally.olap.port import AggregateQuery, AggregateRow
from support.memory_olap import MemoryOlap
from support.serving import DEADLINE_S, NOW_MS, Served, report

HOUR = {"start": "2026-11-23T09:00:00Z", "end": "2026-11-23T10:00:00Z"}
AD_HOUR = {"ad_id": "ad_1", **HOUR, "granularity": "hour"}
READS = ("/metrics", "/v1/series", "/v1/top", "/v1/quality", "/v1/compare")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.ad("ad_1", "acme")
        served.ad("ad_2", "other")
        served.click("ad_1", "ann", "2026-11-23T09:05:00Z")
        served.progress.update(report(NOW_MS))
        yield served


def question(path: str) -> dict[str, str]:
    return {"ad_id": "ad_1", **HOUR} if path == "/metrics" else HOUR


def clicks(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.json()["totals"]["clicks"])


def counted(served: Served) -> dict[str, int]:
    text = served.anonymous.get("/-/metrics").text
    return {
        name: int(float(number))
        for name, number in re.findall(r'adtally_serve_cache_total\{outcome="(\w+)"\} (\S+)', text)
    }


@pytest.mark.parametrize("path", READS)
def test_the_same_question_is_not_asked_of_the_tables_again(served: Served, path: str) -> None:
    first = served.admin.get(path, params=question(path))
    served.olap.queries.clear()
    second = served.admin.get(path, params=question(path))
    assert second.content == first.content
    assert served.olap.queries == []
    assert counted(served) == {"hit": 1, "miss": 1, "uncached": 0, "flight": 0, "error": 0}


def test_two_spellings_of_one_question_are_the_same(served: Served) -> None:
    served.admin.get("/metrics", params=AD_HOUR)
    served.olap.queries.clear()
    served.admin.get("/metrics", params={**AD_HOUR, "start": "1795424400", "end": "2026-11-23T11:00:00+01:00"})
    served.admin.get("/metrics", params={**AD_HOUR, "timezone": "UTC", "format": "json"})
    assert served.olap.queries == []


@pytest.mark.parametrize(
    "other",
    [
        {"granularity": "minute"},
        {"timezone": "Asia/Kolkata"},
        {"group_by": "device"},
        {"format": "csv"},
        {"end": "1795428060"},
    ],
)
def test_each_parameter_makes_another_question(served: Served, other: dict[str, str]) -> None:
    served.admin.get("/metrics", params=AD_HOUR)
    served.olap.queries.clear()
    served.admin.get("/metrics", params={**AD_HOUR, **other})
    assert served.olap.queries


def test_numbers_that_still_move_are_read_each_time(served: Served) -> None:
    now = {**AD_HOUR, "end": "2026-11-23T12:00:00Z"}
    assert clicks(served.admin.get("/metrics", params=now)) == 1
    served.click("ad_1", "bob", "2026-11-23T11:58:00Z")
    assert clicks(served.admin.get("/metrics", params=now)) == 2
    assert counted(served)["uncached"] == 2


def test_an_answer_is_made_anew_when_its_time_is_over(served: Served) -> None:
    assert clicks(served.admin.get("/metrics", params=AD_HOUR)) == 1
    served.click("ad_1", "bob", "2026-11-23T09:06:00Z")
    served.clock.at_s += 299
    assert clicks(served.admin.get("/metrics", params=AD_HOUR)) == 1
    served.clock.at_s += 1
    assert clicks(served.admin.get("/metrics", params=AD_HOUR)) == 2


def test_a_correction_is_never_hidden(served: Served) -> None:
    served.publish("2026-11-23T09:00:00Z")
    assert clicks(served.admin.get("/metrics", params=AD_HOUR)) == 1
    served.click("ad_1", "late", "2026-11-23T09:07:00Z")
    served.publish("2026-11-23T09:00:00Z", revision=2)
    (row,) = served.admin.get("/metrics", params=AD_HOUR).json()["metrics"]
    assert (row["clicks"], row["revision"]) == (2, 2)


def test_a_line_about_another_hour_leaves_answers_where_they_are(served: Served) -> None:
    served.publish("2026-11-23T09:00:00Z")
    served.admin.get("/metrics", params=AD_HOUR)
    served.publish("2026-11-23T10:00:00Z")
    served.olap.queries.clear()
    served.admin.get("/metrics", params=AD_HOUR)
    assert served.olap.queries == []


def test_an_empty_hour_becomes_final_by_the_line_of_a_later_one_and_is_told_so_at_once(served: Served) -> None:
    served.publish("2026-11-23T08:00:00Z")
    assert served.admin.get("/metrics", params=AD_HOUR).json()["metrics"][0]["status"] == "provisional"
    served.publish("2026-11-23T10:00:00Z")
    assert served.admin.get("/metrics", params=AD_HOUR).json()["metrics"][0]["status"] == "final"


@pytest.mark.parametrize("path", READS)
def test_no_advertiser_gets_the_answer_that_another_or_an_admin_got(served: Served, path: str) -> None:
    params = question(path)
    served.admin.get(path, params=params)
    mine = served.as_advertiser("acme").get(path, params=params)
    theirs = served.as_advertiser("other").get(path, params=params)
    assert mine.status_code == 200
    if path == "/metrics":
        assert theirs.status_code == 404
    else:
        assert "ad_1" not in theirs.text
        assert theirs.content != mine.content


@pytest.mark.parametrize("path", ["/metrics", "/v1/series", "/v1/quality"])
def test_another_advertisers_ad_is_unknown_though_its_answer_is_kept(served: Served, path: str) -> None:
    params = {"ad_id": "ad_1", **HOUR}
    assert served.as_advertiser("acme").get(path, params=params).status_code == 200
    served.olap.queries.clear()
    assert served.as_advertiser("acme").get(path, params=params).status_code == 200
    assert served.olap.queries == []
    assert served.as_advertiser("other").get(path, params=params).status_code == 404


def test_an_ad_that_is_the_callers_no_more_is_unknown_though_its_answer_is_kept(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = served.as_advertiser("acme")
    assert acme.get("/metrics", params=AD_HOUR).status_code == 200
    moved = msgspec.structs.replace(served.registry.ad("ad_1"), advertiser_id="other")
    monkeypatch.setattr(type(served.registry), "ad", lambda *_: moved)
    assert acme.get("/metrics", params=AD_HOUR).status_code == 404


def test_a_revoked_key_gets_nothing_that_is_kept(served: Served) -> None:
    new = served.registry.create_key("acme", NOW_MS)
    acme = served.client(new.key)
    assert acme.get("/metrics", params=AD_HOUR).status_code == 200
    served.registry.revoke_key(new.key_id, NOW_MS)
    served.clock.at_s += 1.01
    assert acme.get("/metrics", params=AD_HOUR).status_code == 401


def test_refusals_are_not_kept(served: Served) -> None:
    params = {**AD_HOUR, "ad_id": "ad_new"}
    assert served.admin.get("/metrics", params=params).status_code == 404
    served.ad("ad_new", "acme")
    assert served.admin.get("/metrics", params=params).status_code == 200


class Broken:
    """A cache that is away."""

    def get(self, key: bytes) -> bytes | None:
        raise CacheError("no connection")

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        raise CacheError("no connection")


class Garbled:
    """A cache that gives what nobody put."""

    def get(self, key: bytes) -> bytes | None:
        return b"\xc1garbage"

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        pass


@pytest.mark.parametrize(("cache", "errors"), [(Broken(), 2), (Garbled(), 1)])
def test_a_broken_cache_is_counted_and_answers_come_without_it(
    tmp_path: Path, cache: Broken | Garbled, errors: int
) -> None:
    with Served(tmp_path, cache=cache) as served:
        served.ad("ad_1", "acme")
        served.click("ad_1", "ann", "2026-11-23T09:05:00Z")
        served.progress.update(report(NOW_MS))
        assert clicks(served.admin.get("/metrics", params=AD_HOUR)) == 1
        assert counted(served)["error"] == errors


def test_a_cache_that_stays_away_is_logged_once(tmp_path: Path) -> None:
    with capture_logs() as logged, Served(tmp_path, cache=Broken()) as served:
        served.ad("ad_1", "acme")
        served.progress.update(report(NOW_MS))
        for _ in range(3):
            served.admin.get("/metrics", params=AD_HOUR)
    assert len([entry for entry in logged if "the cache failed" in entry["event"]]) == 1


class Gated:
    """A store that answers when it is let; it counts its questions."""

    def __init__(self, error: Exception | None = None) -> None:
        self.store = MemoryOlap()
        self.gate = threading.Event()
        self.asked = 0
        self._error = error

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        self.asked += 1
        assert self.gate.wait(DEADLINE_S)
        if self._error is not None:
            raise self._error
        return self.store.aggregate(query)


def ask_at_once(served: Served, reader: Gated, path: str, params: dict[str, str], times: int) -> list[httpx.Response]:
    """Ask many times, and let the store answer when all of the others wait for the first."""
    deadline_s = SYSTEM_CLOCK.monotonic_s() + DEADLINE_S
    with ThreadPoolExecutor(times) as threads:
        answers = [threads.submit(served.admin.get, path, params=params) for _ in range(times)]
        while counted(served)["flight"] < times - 1:
            assert SYSTEM_CLOCK.monotonic_s() < deadline_s, "not all came to wait for one flight"
        reader.gate.set()
        return [answer.result() for answer in answers]


@pytest.mark.parametrize("end", ["2026-11-23T10:00:00Z", "2026-11-23T12:00:00Z"])
def test_many_who_ask_the_same_at_once_cause_one_query(tmp_path: Path, end: str) -> None:
    reader: Any = Gated()
    with Served(tmp_path, reader=reader) as served:
        served.progress.update(report(NOW_MS))
        answers = ask_at_once(served, reader, "/v1/top", {**HOUR, "end": end}, 12)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert reader.asked == 1


def test_all_who_wait_for_a_query_that_fails_are_told_and_the_next_one_tries_again(tmp_path: Path) -> None:
    reader: Any = Gated(ValueError("a defect"))
    with Served(tmp_path, reader=reader) as served:
        answers = ask_at_once(served, reader, "/v1/top", HOUR, 4)
        assert {answer.status_code for answer in answers} == {500}
        assert len({answer.json()["instance"] for answer in answers}) == 4
        assert served.admin.get("/v1/top", params=HOUR).status_code == 500
        assert reader.asked == 2


def test_what_head_got_of_a_file_is_not_given_to_get(served: Served) -> None:
    file = {**HOUR, "format": "csv"}
    served.admin.head("/v1/series", params=file)
    assert len(served.admin.get("/v1/series", params=file).text.splitlines()) == 2
    kept = served.admin.head("/v1/series", params=file)
    assert int(kept.headers["content-length"]) > 0
