"""Days and months follow their hours, the lake is kept in order, and what the store has lost comes back."""

import random
from pathlib import Path

import msgspec

from adtally.config import LakeConfig
from adtally.ledger.port import HourLine
from adtally.olap.port import EVERYONE, AggregateQuery
from adtally.reconcile.passes import Wanted
from support.lake_events import click
from support.reconciling import DAY_MS, SETTLED_MS, Backend, check_final, history, hour, spoil, three_hours


def test_a_day_and_a_month_are_published_when_all_their_hours_are(backend: Backend, seed: int) -> None:
    rnd = random.Random(seed)
    backend.archive(history(rnd, 500, hour(0), hour(24 * 5)))
    backend.run(hour(24 * 3) + SETTLED_MS)
    published = [span.start_ms for span in backend.ledger.spans("day", 0, 1 << 53)]
    assert published == [hour(0), hour(24), hour(48)]
    for day in range(3):
        begin, end = hour(24 * day), hour(24 * (day + 1))
        assert backend.final(begin, end, "day") == backend.expected(begin, end)
    assert backend.ledger.spans("month", 0, 1 << 53) == []
    backend.run(hour(24 * 6))
    november, december = hour(0) - 26 * DAY_MS, hour(24 * 4)
    assert [span.start_ms for span in backend.ledger.spans("month", 0, 1 << 53)] == [november]
    assert backend.final(november, december, "month") == backend.expected(november, december)


def test_a_corrected_hour_corrects_its_day_and_month(backend: Backend, seed: int) -> None:
    backend.archive(history(random.Random(seed), 300, hour(0), hour(24 * 5)))
    backend.run(hour(24 * 6))
    backend.archive([click(1, hour(30), "late", user_id="new")], delay_ms=DAY_MS * 9)
    backend.run(hour(24 * 6))
    assert backend.final(hour(24), hour(48), "day") == backend.expected(hour(24), hour(48))
    november, december = hour(0) - 26 * DAY_MS, hour(24 * 4)
    assert backend.final(november, december, "month") == backend.expected(november, december)


def test_a_second_pass_over_yesterday_finds_nothing_or_corrects_what_it_finds(backend: Backend, seed: int) -> None:
    backend.archive(history(random.Random(seed), 600, hour(0), hour(24)))
    backend.count_live(backend.live_of(hour(0), hour(24)))
    backend.run(hour(25))
    assert backend.reconciler.second_pass_due() == hour(0)
    assert backend.reconciler.second_pass(hour(0)).lines == ()
    assert (backend.line(0).kind, backend.line(0).keys_differed) == ("second pass", 0)
    assert backend.reconciler.second_pass_due() is None
    spoil(backend, 7)
    (line,) = backend.reconciler.second_pass(hour(0)).lines
    assert (line.hour_ms, line.kind, line.revision, line.keys_differed) == (hour(7), "second pass", 2, 1)
    check_final(backend, 0, 24)
    assert backend.final(hour(0), hour(24), "day") == backend.expected(hour(0), hour(24))


def test_what_the_store_has_lost_is_published_again_with_the_same_revision(backend: Backend, seed: int) -> None:
    backend.archive(history(random.Random(seed), 600, hour(0), hour(24 * 5)))
    backend.run(hour(24 * 6))
    lines = backend.ledger.lines(0, 1 << 53)
    for grain in ("minute", "quarter_hour", "day", "month"):
        backend.store.drop_final_before(grain, hour(24 * 40))
    assert backend.final(hour(0), hour(24 * 5)) == {}
    report = backend.run(hour(24 * 6), Wanted(verify=True))
    assert report.lines == ()
    assert set(report.republished) >= {line.hour_ms for line in lines if line.final}
    assert backend.ledger.lines(0, 1 << 53) == lines
    check_final(backend, 0, 24 * 5)
    november, december = hour(0) - 26 * DAY_MS, hour(24 * 4)
    assert backend.final(november, december, "month") == backend.expected(november, december)
    assert backend.run(hour(24 * 6), Wanted(verify=True)).republished == ()


def test_an_import_into_a_day_whose_quarter_hours_are_gone_counts_the_whole_day_again(
    backend: Backend, seed: int
) -> None:
    rnd = random.Random(seed)
    backend.archive(history(rnd, 300, hour(0), hour(24)))
    backend.run(hour(26))
    much_later_ms = hour(24 * 500)
    backend.run(much_later_ms)
    assert backend.final(hour(0), hour(24), "quarter_hour") == {}
    assert backend.final(hour(0), hour(24), "day") == backend.expected(hour(0), hour(24))
    backend.archive([click(1, hour(5), "import-1", user_id="new")], delay_ms=DAY_MS * 500)
    backend.run(much_later_ms)
    assert backend.final(hour(0), hour(24), "day") == backend.expected(hour(0), hour(24))
    assert backend.final(hour(0), hour(24), "minute") == {}


def test_an_hours_files_are_merged_some_time_after_it_is_final(backend: Backend, seed: int) -> None:
    rnd = random.Random(seed)
    for number in range(5):
        backend.archive(history(rnd, 30, hour(1), hour(2), f"e{number}"))
    backend.run(hour(2) + SETTLED_MS)
    assert len(backend.lake.files(hour(1))) == 5
    backend.run(hour(3))
    assert len(backend.lake.files(hour(1))) == 1
    lines = backend.ledger.history(hour(1))
    backend.run(hour(4))
    backend.run(hour(4))
    assert without_files(backend.ledger.history(hour(1))) == without_files(lines)
    check_final(backend, 1, 2)


def test_raw_events_are_removed_when_they_are_no_longer_wanted_and_their_numbers_stay(
    tmp_path: Path, seed: int
) -> None:
    backend = Backend(tmp_path, lake_config=LakeConfig(retention_days=3))
    backend.archive(history(random.Random(seed), 3_000, hour(0), hour(24 * 6)))
    backend.run(hour(24 * 6) + SETTLED_MS)
    assert backend.lake.hours()[0] >= hour(24 * 3)
    assert [backend.line(index).state for index in (0, 24 * 3 - 1, 24 * 3)] == ["frozen", "frozen", "final"]
    backend.run(hour(24 * 6) + SETTLED_MS)
    assert [backend.line(index).state for index in (0, 24 * 3 - 1, 24 * 3)] == ["frozen", "frozen", "final"]
    check_final(backend, 0, 24 * 6)
    numbers = backend.line(7).final
    backend.archive([click(1, hour(7), "stray")], delay_ms=DAY_MS * 6)
    backend.run(hour(24 * 6) + SETTLED_MS)
    assert (backend.line(7).state, backend.line(7).final) == ("frozen", numbers)


def test_live_minutes_are_dropped_some_days_after_they_are_final(backend: Backend, seed: int) -> None:
    three_hours(backend, random.Random(seed))
    backend.run(hour(5))
    assert backend.live_of(hour(1), hour(4)) != {}
    backend.run(hour(24 * 5))
    (row,) = backend.store.aggregate(AggregateQuery(EVERYONE, (hour(0), hour(24))))
    assert row.clicks == 0


def without_files(lines: list[HourLine]) -> list[HourLine]:
    return [msgspec.structs.replace(line, files="") for line in lines]
