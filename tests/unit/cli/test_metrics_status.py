"""`adtally metrics` and `adtally status` against a running API."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from adtally.buckets import Granularity
from adtally.cli import metrics, status
from adtally.cli.doctor import FREE_BYTES_FAIL
from adtally.cli.status import disk
from adtally.cli.target import _problem_text
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import AdtallyError, StoreUnavailableError
from adtally.eventlog.port import Partition, Position
from adtally.folder import RunInfo
from adtally.ledger.port import ArchiveNote
from adtally.reconcile.requests import RegularPass
from adtally.serve.values import rfc3339
from support.ledger_lines import HOUR_MS, line
from support.serving import Served, report


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.clock.at_ms = SYSTEM_CLOCK.now_ms()
        served.ad("ad_1", "acme")
        served.click("ad_1", "ann", rfc3339(served.clock.at_ms - 600_000))
        served.click("ad_1", "bob", rfc3339(served.clock.at_ms - 600_000))
        served.progress.update(report(served.clock.at_ms - 400))
        yield served


def run(served: Served, *arguments: str) -> Result:
    command = {"metrics": metrics.command, "status": status.command}[arguments[0]]
    return CliRunner().invoke(command, [*arguments[1:], "--url", served.url, "--key", served.admin_key])


def test_metrics_shows_the_last_hour_by_minute_and_the_total(served: Served) -> None:
    result = run(served, "metrics", "ad_1")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["time", "clicks", "unique", "users", "status"]
    assert len(lines) in (62, 63)
    assert lines[-1].split() == ["total", "2", "2"]
    assert result.stderr.startswith("complete up to ")


def test_metrics_as_json_is_the_apis_answer(served: Served) -> None:
    result = run(served, "metrics", "ad_1", "--since", "2d", "--timezone", "Asia/Kolkata", "--json")
    answer = msgspec.json.decode(result.stdout)
    assert answer["totals"] == {"clicks": 2, "unique_users": 2}
    assert answer["granularity"] == "hour"
    assert answer["metrics"][0]["timestamp"].endswith(":00:00+05:30")


def test_metrics_of_an_unknown_ad_says_so(served: Served) -> None:
    assert isinstance(run(served, "metrics", "nothing").exception, AdtallyError)


@pytest.mark.parametrize("since", ["0h", "1", "h", "1y", "-1h", "1.5h"])
def test_a_time_that_is_none_is_wrong_use(served: Served, since: str) -> None:
    result = run(served, "metrics", "ad_1", "--since", since)
    assert result.exit_code == 2
    assert "is no duration" in result.output


@pytest.mark.parametrize(
    ("minutes", "granularity"),
    [(90, "minute"), (91, "hour"), (72 * 60, "hour"), (7 * 24 * 60, "day"), (365 * 24 * 60, "month")],
)
def test_the_granularity_fits_the_range(minutes: int, granularity: Granularity) -> None:
    assert metrics.fitting(minutes * 60_000) == granularity


def test_status_of_a_healthy_system_is_zero(served: Served) -> None:
    result = run(served, "status")
    assert result.exit_code == 0, result.output
    assert {line.split()[0] for line in result.stdout.splitlines()} >= {"api", "store", "registry", "stream"}
    assert "FAILS" not in result.stdout


def test_status_as_json_has_the_lags_and_positions(served: Served) -> None:
    seen = msgspec.json.decode(run(served, "status", "--json").stdout)
    assert seen["healthy"] is True
    assert seen["api"]["lag_ms"] == 400
    assert seen["api"]["stream"]["positions"] == {"edge-0": "0001"}


def test_metrics_tells_up_to_when_numbers_are_final(served: Served) -> None:
    hour_ms = served.clock.at_ms // HOUR_MS * HOUR_MS
    assert "final through nothing yet" in run(served, "metrics", "ad_1").stderr
    served.ledger.write(line(hour_ms - HOUR_MS))
    assert f"final through {rfc3339(hour_ms)}\n" in run(served, "metrics", "ad_1").stderr


def test_status_tells_how_the_hours_are_and_is_one_when_one_is_damaged(served: Served) -> None:
    hour_ms = served.clock.at_ms // HOUR_MS * HOUR_MS
    served.ledger.write(line(hour_ms - 2 * HOUR_MS))
    result = run(served, "status")
    assert result.exit_code == 0, result.output
    assert f"final through {rfc3339(hour_ms - HOUR_MS)}; 2 open hours" in result.stdout
    served.ledger.write(line(hour_ms - HOUR_MS, state="damaged", missing=7))
    result = run(served, "status")
    assert result.exit_code == 1
    assert "1 open hour; 7 events missing; 1 damaged" in result.stdout


def test_status_tells_how_far_the_lake_reaches_and_is_one_when_the_archiver_is_behind(served: Served) -> None:
    assert "has not reported yet" in run(served, "status").stdout
    passed_ms = served.clock.at_ms - 61_000
    served.ledger.note_archived([ArchiveNote(Partition("edge-0"), Position("7"), passed_ms)], [], [])
    result = run(served, "status")
    assert f"61 s behind: the lake reaches to {rfc3339(passed_ms)}" in result.stdout
    assert result.exit_code == 0, result.output
    late = ArchiveNote(Partition("edge-1"), Position("7"), served.clock.at_ms - 301_000)
    served.ledger.note_archived([late], [], [])
    assert run(served, "status").exit_code == 1


def test_status_tells_of_the_reconcilers_last_pass_and_is_one_when_it_failed(served: Served) -> None:
    assert "has made no pass yet" in run(served, "status").stdout
    served.reconciling.step(served.clock.at_ms)
    assert f"last pass at {rfc3339(served.clock.at_ms)}" in run(served, "status").stdout
    served.book.note_pass(RegularPass(served.clock.at_ms, None, "the lake is away"))
    result = run(served, "status")
    assert (result.exit_code, "the lake is away" in result.stdout) == (1, True)


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_status_is_one_when_the_stream_is_behind(served: Served, as_json: tuple[str, ...]) -> None:
    served.clock.at_ms += 60_000
    result = run(served, "status", *as_json)
    assert result.exit_code == 1
    assert "60.4 s behind" in result.stdout


def test_status_is_one_when_the_api_is_not_ready(served: Served) -> None:
    served.reasons.append("the store is being migrated")
    result = run(served, "status")
    assert result.exit_code == 1
    assert "the store is being migrated" in result.stdout


def test_status_of_a_system_that_does_not_answer_is_one(served: Served, tmp_path: Path) -> None:
    key = served.admin_key
    result = CliRunner().invoke(status.command, ["--url", "http://127.0.0.1:1", "--key", key])
    assert result.exit_code == 1
    assert "does not answer" in result.stdout


def test_metrics_of_a_system_that_does_not_answer_is_an_error() -> None:
    result = CliRunner().invoke(metrics.command, ["ad_1", "--url", "http://127.0.0.1:1", "--key", "k"])
    assert isinstance(result.exception, StoreUnavailableError)


def test_a_part_is_not_well_until_its_crash_loop_is_a_minute_old() -> None:
    pid = os.getpid()
    run = RunInfo(pid, "", "", "0", 0, {"counter": pid, "store": pid}, {"counter": 5}, {"counter": 1_000_000})
    healths = {part.part: part.healthy for part in status.processes(run, 1_059_999)}
    assert healths == {"supervisor": True, "counter": False, "store": True}
    assert all(part.healthy for part in status.processes(run, 1_060_000))


def test_a_disk_without_room_is_not_well() -> None:
    assert disk(FREE_BYTES_FAIL).healthy
    full = disk(FREE_BYTES_FAIL - 1)
    assert (full.healthy, "make room" in full.detail) == (False, True)


def test_what_a_server_says_in_plain_words_is_passed_on() -> None:
    request = httpx.Request("GET", "http://edge/-/readyz")
    plain = httpx.Response(503, text="the event log does not take clicks now\n", request=request)
    assert _problem_text(plain).endswith("answered 503: the event log does not take clicks now")
    page = httpx.Response(502, html="<p>bad gateway</p>", request=request)
    assert _problem_text(page).endswith("answered 502")
