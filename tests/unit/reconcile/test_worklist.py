"""Which hours are due, and how they are put into jobs."""

import msgspec

from adtally.lake.port import LakeFile
from adtally.reconcile.worklist import DueHour, fingerprint, is_due, jobs
from adtally.utc import DAY_MS, month_after, month_of
from unit.reconcile.test_verdict import RULES, line

HOUR_MS = 3_600_000
DAY = 20_000 * DAY_MS


def hour(index: int, size: int = 10, window_ms: int = 300_000) -> DueHour:
    rules = msgspec.structs.replace(RULES, dedup_window_ms=window_ms)
    return DueHour(DAY + index * HOUR_MS, (LakeFile(f"f{index}", size),), (), "f", rules, None)


def test_adjoining_small_hours_of_one_day_share_a_job() -> None:
    hours = [hour(index) for index in (0, 1, 2, 4, 23, 24)]
    assert [[(h.hour_ms - DAY) // HOUR_MS for h in job] for job in jobs(hours)] == [[0, 1, 2], [4], [23], [24]]


def test_large_hours_and_hours_of_other_rules_have_jobs_of_their_own() -> None:
    hours = [hour(0, 60), hour(1, 60), hour(2, 30), hour(3, 30, window_ms=60_000), hour(4, 500), hour(5, 1)]
    assert [len(job) for job in jobs(hours, bytes_max=100)] == [1, 2, 1, 1, 1]


def test_a_fingerprint_tells_names_and_sizes_apart_but_not_orders() -> None:
    a, b = LakeFile("a", 1), LakeFile("b", 2)
    assert fingerprint([a, b]) == fingerprint([b, a])
    assert len({fingerprint(files) for files in ([a], [b], [a, b], [LakeFile("a", 2)], [])}) == 5


def test_an_hour_is_due_when_its_files_are_others_unless_raw_events_were_removed_on_purpose() -> None:
    due = hour(5)
    assert is_due(due, {})
    same = msgspec.structs.replace(due, line=line())
    assert not is_due(same, {})
    changed = msgspec.structs.replace(same, fingerprint="g")
    assert is_due(changed, {})
    frozen = msgspec.structs.replace(line(), state="frozen", hour_ms=due.hour_ms - HOUR_MS)
    assert not is_due(changed, {frozen.hour_ms: frozen})
    assert not is_due(msgspec.structs.replace(changed, line=frozen), {})


def test_months_begin_on_their_first_day() -> None:
    february_29 = 1_709_164_800_000
    assert month_of(february_29) == 1_706_745_600_000
    assert month_after(month_of(february_29)) == 1_709_251_200_000
