"""What the API's own metrics say of hours, passes, dead letters and readiness."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from adtally.errors import StoreUnavailableError
from adtally.eventlog.port import DeadLetter, Partition, Position
from adtally.reconcile.passes import PassReport
from adtally.reconcile.requests import RegularPass
from support.ledger_lines import HOUR_MS, line
from support.serving import Served

SETTLE_S = 600


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        yield served


def gauge(served: Served, series: str) -> float:
    text = served.anonymous.get("/-/metrics").text
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found, series
    return float(found[1])


def test_an_hour_is_overdue_from_its_end_and_the_time_to_settle_on(served: Served) -> None:
    hour_ms = served.clock.at_ms // HOUR_MS * HOUR_MS
    served.ledger.write(line(hour_ms))
    served.clock.at_ms = hour_ms + 2 * HOUR_MS + (SETTLE_S - 1) * 1_000
    assert gauge(served, "adtally_ledger_overdue_seconds") == 0
    served.clock.at_ms += 61_000
    assert gauge(served, "adtally_ledger_overdue_seconds") == 60


def test_sums_of_the_last_day_leave_older_hours_out_and_take_the_newest_lines(served: Served) -> None:
    now_hour_ms = served.clock.at_ms // HOUR_MS * HOUR_MS
    served.ledger.write(line(now_hour_ms - 30 * HOUR_MS, missing=50, difference=60, late=70))
    served.ledger.write(line(now_hour_ms - 3 * HOUR_MS, missing=9, difference=9, late=9))
    served.ledger.write(line(now_hour_ms - 2 * HOUR_MS, missing=1, difference=2, late=3))
    served.ledger.write(line(now_hour_ms - 3 * HOUR_MS, revision=2, missing=2, difference=3, late=4, started_ms=1_000,
                             finished_ms=43_000))  # fmt: skip
    names = ("missing", "difference", "late", "events")
    assert [gauge(served, f"adtally_ledger_day_{name}") for name in names] == [3, 5, 7, 20]
    assert gauge(served, "adtally_ledger_missing") == 53
    assert gauge(served, "adtally_ledger_recount_seconds") == 42


def test_numbers_of_a_ledger_that_does_not_answer_are_not_known(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailableError("away")

    served.ledger.write(line(served.clock.at_ms // HOUR_MS * HOUR_MS))
    monkeypatch.setattr(served.ledger, "lines", fail)
    for name in ("day_missing", "overdue_seconds", 'states{state="damaged"}', "recount_seconds"):
        assert math.isnan(gauge(served, f"adtally_ledger_{name}")), name


def test_a_pass_tells_its_age_and_whether_it_failed(served: Served) -> None:
    names = ("pass_age_seconds", "pass_failed", "failing_jobs")
    assert all(math.isnan(gauge(served, f"adtally_reconcile_{name}")) for name in names)
    whole = PassReport((), (), (), ("2026-11-23T08: no memory",), 0, "")
    served.book.note_pass(RegularPass(served.clock.at_ms - 7_000, whole, None))
    assert [gauge(served, f"adtally_reconcile_{name}") for name in names] == [7, 0, 1]
    served.book.note_pass(RegularPass(served.clock.at_ms, whole, "the lake is away"))
    assert [gauge(served, f"adtally_reconcile_{name}") for name in names] == [0, 1, 1]


def test_dead_letters_wait_until_they_are_replayed(served: Served) -> None:
    place = (Partition("edge-0"), Position("1"))
    served.dead_letters.put([DeadLetter(*place, "no event", b"x", 5), DeadLetter(place[0], Position("2"), "", b"", 5)])
    assert gauge(served, "adtally_dead_letters_waiting") == 2
    served.dead_letters.mark_replayed(*place, 9)
    assert gauge(served, "adtally_dead_letters_waiting") == 1


def test_an_api_whose_stores_do_not_answer_is_not_ready(served: Served) -> None:
    assert gauge(served, "adtally_serve_ready") == 1
    served.reasons.append("the store is away")
    assert gauge(served, "adtally_serve_ready") == 0
