"""A series as CSV and as Parquet: what /v1/series says, as long as it is."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from adtally.serve import export
from adtally.serve.cache.port import NO_CACHE
from support.serving import Served, ms

SPAN = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("exports"), cache=NO_CACHE) as served:
        for number in range(7):
            ad = f"=ad_{number}" if number % 2 else f"ad_{number}"
            served.ad(ad, "acme", "spring")
            for minute in range(10 * (number + 1)):
                if minute % (number + 1) == 0 and minute < 60:
                    served.click(ad, f"user_{minute}", f"2026-11-23T10:{minute:02}:00Z", campaign="spring")
        served.ad("ad_9", "other")
        served.click("ad_9", "eve", "2026-11-23T10:00:00Z", advertiser="other", device="mobile")
        yield served


def ask(served: Served, file_format: str, **more: str) -> httpx.Response:
    answer = served.admin.get("/v1/series", params={**SPAN, **more, "format": file_format})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "private, no-cache"
    return answer


def csv_rows(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def parquet_rows(answer: httpx.Response) -> list[dict[str, Any]]:
    return list(pq.read_table(io.BytesIO(answer.content)).to_pylist())


QUESTIONS: list[dict[str, str]] = [
    {},
    {"fill": "true"},
    {"granularity": "hour", "group_by": "ad_id"},
    {"group_by": "ad_id,device"},
    {"group_by": "advertiser_id,ad_id,campaign_id"},
    {"granularity": "day", "timezone": "Europe/Berlin", "group_by": "device"},
    {"device": "mobile"},
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("page_rows", [1, 3, 8, 20_000])
@pytest.mark.parametrize("window_buckets", [1, 7, 1_000])
def test_files_say_what_the_answer_says(
    served: Served, monkeypatch: pytest.MonkeyPatch, question: dict[str, str], page_rows: int, window_buckets: int
) -> None:
    if "fill" not in question:
        monkeypatch.setattr(export, "PAGE_ROWS", page_rows)
    monkeypatch.setattr(export, "WINDOW_BUCKETS", window_buckets)
    expected = ask(served, "json", **question).json()["series"]
    unguarded = [
        {name: value.lstrip("'") for name, value in row.items()} for row in csv_rows(ask(served, "csv", **question))
    ]
    assert unguarded == [{name: str(value) for name, value in row.items()} for row in expected]
    found = parquet_rows(ask(served, "parquet", **question))
    assert [{**row, "timestamp": int(row["timestamp"].timestamp() * 1000)} for row in found] == [
        {**row, "timestamp": ms(row["timestamp"])} for row in expected
    ]


def test_a_file_is_named_and_typed(served: Served) -> None:
    answer = ask(served, "csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="series.csv"'
    answer = ask(served, "parquet")
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["content-disposition"] == 'attachment; filename="series.parquet"'


def test_a_csv_file_starts_no_formulas(served: Served) -> None:
    ads = {row["ad_id"] for row in csv_rows(ask(served, "csv", group_by="ad_id"))}
    assert "'=ad_1" in ads
    assert not [ad for ad in ads if ad.startswith("=")]


def test_a_file_may_have_more_buckets_than_an_answer(served: Served) -> None:
    rows = csv_rows(ask(served, "csv", fill="true", start="2026-11-15T00:00:00Z"))
    assert len(rows) == 8 * 24 * 60 + 11 * 60
    assert sum(int(row["clicks"]) for row in rows) == ask(served, "json").json()["totals"]["clicks"]


def test_a_file_of_the_future_has_a_header_alone(served: Served) -> None:
    span = {"start": "2026-11-23T13:00:00Z", "end": "2026-11-23T14:00:00Z"}
    assert ask(served, "csv", **span).text == "timestamp,clicks,unique_users,status,revision\r\n"
    assert parquet_rows(ask(served, "parquet", **span)) == []


def test_an_advertisers_file_holds_its_own_clicks_only(served: Served) -> None:
    answer = served.as_advertiser("other").get("/v1/series", params={**SPAN, "format": "csv", "group_by": "ad_id"})
    assert [row["ad_id"] for row in csv_rows(answer)] == ["ad_9"]


def test_what_retention_removed_is_refused_before_the_file_begins(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        served.ad("ad_1", "acme")
        served.click("ad_1", "ann", "2026-08-01T00:00:00Z")
        served.publish("2026-08-01T00:00:00Z")
        span = {"start": "2026-08-01T00:00:00Z", "end": "2026-11-23T00:00:00Z", "format": "csv"}
        answer = served.admin.get("/v1/series", params=span)
        assert (answer.status_code, answer.json()["field"]) == (422, "granularity")


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_head_of_a_file_names_it_and_asks_nothing_of_the_tables(served: Served, file_format: str) -> None:
    served.olap.queries.clear()
    answer = served.admin.head("/v1/series", params={**SPAN, "format": file_format})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-disposition"] == f'attachment; filename="series.{file_format}"'
    assert "content-length" not in answer.headers
    assert served.olap.queries == []


def test_head_of_a_file_is_refused_as_get_is(served: Served) -> None:
    bad = {**SPAN, "format": "csv", "end": SPAN["start"]}
    assert served.admin.head("/v1/series", params=bad).status_code == 400


def test_a_parquet_file_is_made_without_pandas() -> None:
    made = (
        "import sys; from adtally.serve.export import _column; import pyarrow as pa; "
        "_column([1, 2], pa.timestamp('ms', tz='UTC')); _column(['a'], pa.string()); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", made], check=True)
