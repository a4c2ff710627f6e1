"""The rule that engines are held to, on examples that were worked out by hand."""

from adtally.event import Event
from support.partition_rule import Logged, judged, live_cells, together

NOON_MS = 1_795_780_800_000


def click(seq: int, ts_ms: int, impression: str | None = "i", verdict: str = "ok", user: str = "u") -> Event:
    return Event("e", seq, NOON_MS + ts_ms, "ad", "c", "adv", user, "mobile", verdict, "", "", impression)


def outcomes(*log: tuple[int, Event]) -> list[str]:
    partition = [Logged(place, NOON_MS + appended_ms, event) for place, (appended_ms, event) in enumerate(log)]
    return [outcome for _, outcome in judged(partition)]


def test_the_later_one_in_the_log_is_the_duplicate_even_where_it_is_the_older_one() -> None:
    assert outcomes((5_000, click(2, 4_000)), (5_001, click(1, 1_000))) == ["counted", "duplicate"]


def test_a_click_is_a_duplicate_only_within_the_window_of_the_newest_one() -> None:
    log = [(ts_ms, click(seq, ts_ms)) for seq, ts_ms in enumerate([0, 299_999, 599_998, 899_998], 1)]
    assert outcomes(*log) == ["counted", "duplicate", "duplicate", "counted"]


def test_an_event_too_far_behind_or_ahead_of_the_log_is_as_if_it_was_not_there() -> None:
    assert outcomes((120_001, click(1, 0)), (120_001, click(2, 1))) == ["late", "counted"]
    assert outcomes((0, click(1, 60_001)), (0, click(2, 60_000))) == ["late", "counted"]


def test_the_time_of_the_log_does_not_go_back_with_the_clock_of_a_new_leader() -> None:
    assert outcomes((130_000, click(1, 130_000)), (119_000, click(2, 9_999))) == ["counted", "late"]


def test_the_same_event_again_is_no_duplicate_click() -> None:
    log = (0, click(1, 0)), (10, click(1, 0)), (20, click(2, 0, verdict="bot")), (30, click(2, 0, verdict="bot"))
    assert outcomes(*log) == ["counted", "repeat", "bot", "repeat"]


def test_partitions_of_a_cell_add_up() -> None:
    first = live_cells([Logged(0, NOON_MS, click(1, 0, user="u"))])
    second = live_cells([Logged(0, NOON_MS, click(2, 0, user="v")), Logged(1, NOON_MS, click(3, 0, user="v"))])
    cell = ("adv", "c", "ad", NOON_MS // 1000, "mobile")
    assert together([first, second]) == {
        (*cell, "counted"): (2, frozenset({"u", "v"})),
        (*cell, "duplicate"): (1, frozenset()),
    }
