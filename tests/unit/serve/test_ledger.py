"""/v1/ledger and /v1/ledger/{hour}."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.ledger_lines import HOUR_MS, cell, line
from support.serving import Served, ms

TEN = ms("2026-11-23T10:00:00Z")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("ledger")) as served:
        for hour in range(-3, 0):
            served.ledger.write(line(TEN + hour * HOUR_MS))
        served.ledger.write(
            line(
                TEN, keys_differed=3, difference=6, missing=1, late=2, previous={"counted": 5}, note="edge e vanished"
            ),
            changed=[cell(number) for number in range(3)],
        )
        served.ledger.write(line(TEN, kind="republished"))
        served.ledger.write(line(TEN, kind="second pass", revision=2, keys_differed=1), changed=[cell(9)])
        served.ledger.write(line(TEN, state="damaged", revision=2))
        yield served


def ask(served: Served, path: str, **params: Any) -> Any:
    answer = served.admin.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_hour_has_its_whole_history_as_it_was_found(served: Served) -> None:
    lines = ask(served, "/v1/ledger/2026-11-23T10")["lines"]
    assert [(at["kind"], at["state"], at["revision"]) for at in lines] == [
        ("hour", "final", 1),
        ("republished", "final", 1),
        ("second pass", "final", 2),
        ("hour", "damaged", 2),
    ]
    assert lines[0] == {
        "hour": "2026-11-23T10:00:00Z",
        "kind": "hour",
        "state": "final",
        "revision": 1,
        "commit": 4,
        "live": 5,
        "final": 8,
        "keys_differed": 3,
        "difference": 6,
        "received": 10,
        "duplicates": 1,
        "invalid": {"head": 0, "prefetch": 0, "bot": 1, "paused_ad": 0},
        "missing": 1,
        "late": 2,
        "previous_outcomes": {"counted": 5},
        "final_outcomes": {"counted": 8, "duplicate": 1, "bot": 1},
        "engine": "chdb 26.9",
        "rules": {
            "dedup_window_ms": 300_000,
            "lateness_ms": 120_000,
            "verdicts": ["ok", "head", "prefetch", "bot", "paused_ad"],
            "counting_version": 1,
        },
        "started": "2026-11-23T11:00:00Z",
        "finished": "2026-11-23T11:00:01.500Z",
        "duration_ms": 1_500,
        "note": "edge e vanished",
    }


def test_an_hour_may_be_written_in_several_ways(served: Served) -> None:
    expected = ask(served, "/v1/ledger/2026-11-23T10")
    for hour in ("2026-11-23T10:00:00Z", "2026-11-23T10:59:59.9Z", "2026-11-23T12:30:00+02:00", str(TEN // 1000)):
        assert ask(served, f"/v1/ledger/{hour.replace('+', '%2B')}") == expected


def test_the_keys_are_those_of_the_newest_line_that_changed_some_unless_one_is_named(served: Served) -> None:
    newest = ask(served, "/v1/ledger/2026-11-23T10")
    assert (newest["commit"], [key["old"] for key in newest["changed"]], newest["next"]) == (6, [9], None)
    first = ask(served, "/v1/ledger/2026-11-23T10", commit=4)
    assert first["changed"][1] == {
        "advertiser_id": "acme",
        "campaign_id": "spring",
        "ad_id": "ad_0000001",
        "minute": "2026-11-27T12:00:00Z",
        "device": "mobile",
        "outcome": "counted",
        "old": 1,
        "new": 2,
    }
    assert ask(served, "/v1/ledger/2026-11-23T09")["changed"] == []


def test_keys_come_page_by_page(served: Served) -> None:
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = ask(served, "/v1/ledger/2026-11-23T10", commit=4, after=after, limit=2)
        seen += [key["old"] for key in page["changed"]]
        after = page["next"]
    assert seen == [0, 1, 2]


def test_an_hour_without_a_line_is_not_found(served: Served) -> None:
    answer = served.admin.get("/v1/ledger/2026-11-23T11")
    assert answer.status_code == 404
    assert "no line of the hour 2026-11-23T11:00:00Z" in answer.json()["detail"]


def test_the_newest_line_of_each_hour_that_the_range_touches_is_listed(served: Served) -> None:
    page = ask(served, "/v1/ledger", start="2026-11-23T08:30:00Z", end="2026-11-23T10:01:00Z")
    assert [(at["hour"], at["state"], at["revision"]) for at in page["lines"]] == [
        ("2026-11-23T08:00:00Z", "final", 1),
        ("2026-11-23T09:00:00Z", "final", 1),
        ("2026-11-23T10:00:00Z", "damaged", 2),
    ]
    assert (page["next"], page["final_through"]) == (None, "2026-11-23T11:00:00Z")


def test_lines_come_page_by_page(served: Served) -> None:
    span = {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T12:00:00Z", "limit": 3}
    first = ask(served, "/v1/ledger", **span)
    second = ask(served, "/v1/ledger", **span, after=first["next"])
    assert [at["hour"][11:13] for at in first["lines"] + second["lines"]] == ["07", "08", "09", "10"]
    assert second["next"] is None
