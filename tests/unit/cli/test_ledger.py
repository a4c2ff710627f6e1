"""`adtally ledger` against a running API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from adtally.cli import ledger, metrics
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import AdtallyError, NotFoundError
from adtally.serve.values import rfc3339
from support.ledger_lines import HOUR_MS, cell, line
from support.serving import Served, ms


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.clock.at_ms = SYSTEM_CLOCK.now_ms()
        yield served


@pytest.fixture
def hour_ms(served: Served) -> int:
    """The hour before the one that runs by the server's clock."""
    return served.clock.at_ms // HOUR_MS * HOUR_MS - HOUR_MS


def run(served: Served, *arguments: str) -> Result:
    return CliRunner().invoke(ledger.command, [*arguments, "--url", served.url, "--key", served.admin_key])


def named(hour_ms: int) -> str:
    return rfc3339(hour_ms)[:13]


def test_hours_are_shown_with_what_was_found(served: Served, hour_ms: int) -> None:
    served.ledger.write(line(hour_ms - 30 * HOUR_MS))
    served.ledger.write(line(hour_ms - HOUR_MS, previous={"counted": 1_500}, final={"counted": 1_499, "bot": 7}))
    served.ledger.write(line(hour_ms, state="damaged", missing=3, late=4, note="a file is gone: restore it"))
    result = run(served)
    assert result.exit_code == 0, result.output
    header, first, second, note = result.stdout.splitlines()
    assert header.split() == list(ledger._COLUMNS)
    assert first.split() == [
        named(hour_ms - HOUR_MS), "final", "1", "1,500", "1,499", "0", "0", "0", "7", "0", "0", "1.5", "chdb", "26.9",
    ]  # fmt: skip
    assert second.split()[:3] == [named(hour_ms), "damaged", "1"]
    assert note == f"{named(hour_ms)} revision 1: a file is gone: restore it"
    assert result.stderr == f"final through {rfc3339(hour_ms + HOUR_MS)}\n"
    assert len(run(served, "--since", "2d").stdout.splitlines()) == 5


def test_an_empty_ledger_says_so(served: Served) -> None:
    result = run(served)
    assert (result.exit_code, result.stdout.split()) == (0, list(ledger._COLUMNS))
    assert "nothing yet" in result.stderr


def test_more_lines_than_a_page_are_all_shown(served: Served, hour_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PAGE_LINES", 2)
    for back in range(5):
        served.ledger.write(line(hour_ms - back * HOUR_MS))
    assert len(run(served).stdout.splitlines()) == 6


def test_an_hour_shows_its_history_and_the_keys_that_changed(
    served: Served, hour_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAGE_KEYS", 2)
    served.ledger.write(line(hour_ms, keys_differed=5), changed=[cell(number) for number in range(5)])
    served.ledger.write(line(hour_ms, kind="republished"))
    result = run(served, "--hour", named(hour_ms))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [found.split()[-1] for found in lines[1:3]] == ["hour", "republished"]
    assert lines[4] == "5 keys changed by revision 1:"
    assert lines[5].split() == list(ledger._KEY_COLUMNS)
    assert [found.split()[1] for found in lines[6:]] == [cell(number).ad_id for number in range(5)]
    assert lines[6].split()[-3:] == ["0", "1", "+1"]
    few = run(served, "--hour", named(hour_ms), "--keys", "3").stdout.splitlines()
    assert [found.split()[1] for found in few[6:9]] == [cell(number).ad_id for number in range(3)]
    assert few[9:] == ["and 2 more: --keys shows more of them"]


def test_json_is_the_apis_answer(served: Served, hour_ms: int) -> None:
    served.ledger.write(line(hour_ms, keys_differed=1), changed=[cell(1)])
    listed = msgspec.json.decode(run(served, "--json").stdout)
    assert listed["lines"][0]["hour"] == rfc3339(hour_ms)
    shown = msgspec.json.decode(run(served, "--hour", named(hour_ms), "--json").stdout)
    assert (shown["changed"][0]["ad_id"], shown["next"]) == (cell(1).ad_id, None)


def test_an_hour_that_was_not_recounted_and_one_that_is_none_say_so(served: Served) -> None:
    assert isinstance(run(served, "--hour", "2020-01-01T00").exception, NotFoundError)
    wrong = run(served, "--hour", "noon").exception
    assert isinstance(wrong, AdtallyError)
    assert "is no hour" in str(wrong)


@pytest.mark.parametrize(
    ("granularity", "zone", "first"),
    [
        ("minute", "UTC", "2026-11-23T10:17:00Z"),
        ("hour", "Asia/Kathmandu", "2026-11-23T10:15:00Z"),
        ("day", "Europe/Berlin", "2026-11-22T23:00:00Z"),
        ("month", "UTC", "2026-11-01T00:00:00Z"),
        ("day", "Mars/Olympus", "2026-11-23T10:17:30Z"),
    ],
)
def test_metrics_begin_with_a_whole_bucket(granularity: str, zone: str, first: str) -> None:
    found: Any = granularity
    assert metrics.first_start_ms(ms("2026-11-23T10:17:30Z"), found, zone) == ms(first)
