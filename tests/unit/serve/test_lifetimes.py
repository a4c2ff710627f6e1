"""For how long answers are kept, by what they are about."""

import pytest

from adtally.serve.finality import Run
from adtally.serve.lifetimes import FINAL_S, LAST_HOUR_S, OLDER_S, TODAY_S, lifetime_s
from adtally.serve.ranges import Range
from support.serving import NOW_MS, ms

LIVE = Run(0, 1 << 62, "provisional", "live", 0)
FINAL = Run(0, 1 << 62, "final", "final", 1)


@pytest.mark.parametrize(
    ("end", "expected_s"),
    [
        ("2026-11-23T12:00:31Z", 0),
        ("2026-11-24T00:00:00Z", 0),
        ("2026-11-23T11:56:00Z", 0),
        ("2026-11-23T11:55:30Z", LAST_HOUR_S),
        ("2026-11-23T11:01:00Z", LAST_HOUR_S),
        ("2026-11-23T11:00:30Z", TODAY_S),
        ("2026-11-23T00:01:00Z", TODAY_S),
        ("2026-11-23T00:00:00Z", OLDER_S),
        ("2020-01-01T00:00:00Z", OLDER_S),
    ],
)
def test_the_younger_the_numbers_the_shorter_they_are_kept(end: str, expected_s: float) -> None:
    assert lifetime_s(Range(0, ms(end)), [LIVE], NOW_MS, NOW_MS) == expected_s


def test_final_numbers_are_kept_for_a_day_and_only_if_all_are_final() -> None:
    span = Range(0, ms("2026-11-23T11:00:00Z"))
    assert lifetime_s(span, [FINAL], NOW_MS, None) == FINAL_S
    assert lifetime_s(span, [FINAL, LIVE], NOW_MS, NOW_MS) == TODAY_S


def test_an_hour_that_the_ledger_calls_final_but_that_still_runs_is_not_kept() -> None:
    assert lifetime_s(Range(0, NOW_MS + 1), [FINAL], NOW_MS, NOW_MS) == 0


@pytest.mark.parametrize("as_of_ms", [None, ms("2026-11-22T08:00:00Z")])
def test_what_the_stream_has_not_counted_yet_is_not_kept_however_old_it_is(as_of_ms: int | None) -> None:
    assert lifetime_s(Range(0, ms("2026-11-22T08:00:00Z")), [LIVE], NOW_MS, as_of_ms) == 0
