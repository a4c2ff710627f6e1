"""What every OLAP store promises about what is written to it (olap/port.py)."""

import random
import threading
from typing import Any

import pytest

from support.olap_stores import HOUR_MS, MINUTE_S, NOON_S, Live, Store, groups, live, total


def test_repeating_an_append_changes_nothing(store: Store) -> None:
    for _ in range(3):
        store.append_live(live(Live(5, ["a", "b"])))
    assert total(store) == (5, 2)


def test_an_append_may_name_a_cell_twice(store: Store) -> None:
    store.append_live(live(Live(2, ["a"]), Live(3, ["b"]), Live(1, ["a"])))
    assert total(store) == (3, 2)


def test_an_append_may_hold_many_hours(store: Store) -> None:
    store.append_live(live(*(Live(1, minute_s=NOON_S + hour * 60 * MINUTE_S) for hour in range(24 * 7))))
    assert total(store, edges_ms=(NOON_S * 1000, NOON_S * 1000 + 7 * 24 * HOUR_MS))[0] == 24 * 7


def test_a_stale_smaller_total_changes_nothing_but_its_users_are_kept(store: Store) -> None:
    store.append_live(live(Live(9, ["a"])))
    store.append_live(live(Live(4, ["b"])))
    assert total(store) == (9, 2)


def test_appends_in_any_order_give_the_same(store: Store, seed: int) -> None:
    rnd = random.Random(seed)
    flushes = [Live(n, [f"u{n}"], ad_id=ad, shard=shard) for n in range(1, 8) for ad in "ab" for shard in "xy"]
    for _ in range(2):
        rnd.shuffle(flushes)
        for flush in flushes:
            store.append_live(live(flush))
    assert groups(store, "ad_id") == {("a",): 14, ("b",): 14}
    assert total(store) == (28, 7)


def test_shards_of_one_cell_add_up_and_their_users_are_united(store: Store) -> None:
    store.append_live(live(Live(3, ["a", "b"], shard="0"), Live(4, ["b", "c"], shard="1")))
    store.append_live(live(Live(5, ["d"], shard="1")))
    assert total(store) == (8, 4)


@pytest.mark.parametrize("column", ["advertiser_id", "campaign_id", "ad_id", "device", "outcome", "minute_s"])
def test_rows_that_differ_in_any_column_are_cells_of_their_own(store: Store, column: str) -> None:
    other: dict[str, Any] = {column: NOON_S + MINUTE_S if column == "minute_s" else "bot"}
    store.append_live(live(Live(3, ["a"]), Live(3, ["a"], **other)))
    assert total(store) == (6, 1)


def test_drop_live_before_drops_whole_hours_that_have_ended(store: Store) -> None:
    first_ms = NOON_S * 1000
    for _ in range(2):
        store.append_live(live(*(Live(1, minute_s=NOON_S + n * 30 * MINUTE_S) for n in range(6))))
    store.drop_live_before(first_ms + HOUR_MS - 1)
    assert total(store)[0] == 6
    for _ in range(2):
        store.drop_live_before(first_ms + HOUR_MS)
        assert total(store)[0] == 4
    store.drop_live_before(first_ms + 3 * HOUR_MS - 1)
    assert total(store)[0] == 2
    store.append_live(live(Live(7)))
    assert total(store)[0] == 9


def test_readers_in_several_threads_see_each_append_whole_and_never_less_than_before(store: Store) -> None:
    ended, problems = threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            last = 0
            while not ended.is_set():
                # The two ads are always appended together.
                found = groups(store, "ad_id")
                assert found.get(("a",), 0) == found.get(("b",), 0) >= last
                last = found.get(("a",), 0)
        except BaseException as error:
            problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for n in range(1, 41):
        store.append_live(live(Live(n, [f"u{n}"], ad_id="a"), Live(n, [f"u{n}"], ad_id="b")))
        assert total(store) == (2 * n, n)
    ended.set()
    for reader in readers:
        reader.join()
    assert problems == []


def test_migrating_again_changes_nothing(store: Store) -> None:
    store.append_live(live(Live(5, ["u"])))
    version = store.migrate()
    assert store.migrate() == version
    store.ping()
    assert total(store) == (5, 1)
