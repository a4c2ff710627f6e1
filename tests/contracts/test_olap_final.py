"""What every OLAP store promises about recounted minutes and what is published of them (olap/port.py)."""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adtally.olap.port import CellDifference, Differences, Grain, Source, Span
from support.embedded import wait_for
from support.olap_stores import HOUR_MS, MINUTE_S, NOON_S, Live, Store, Stored, cell, groups, live, publish, recounted

NOON_MS = NOON_S * 1000
DAY_MS = 24 * HOUR_MS
DAY_START_MS = NOON_MS - 12 * HOUR_MS
NOTHING = Differences(0, 0, ())


def at_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def minute_source(hours: int = 1) -> tuple[Source, ...]:
    return (Source("minute", NOON_MS, NOON_MS + hours * HOUR_MS),)


def test_staged_rows_of_one_cell_add_up_and_their_users_are_united(stored: Stored, tmp_path: Path) -> None:
    store = stored.store
    one = recounted(tmp_path, Live(2, ["a", "b"]), Live(3, ["b", "c"]), Live(1, ad_id="ad_2", outcome="bot"))
    other = recounted(tmp_path, Live(4, ["c", "d"]), Live(1, ad_id="ad_2", outcome="bot"))
    store.stage([*one, *other])
    store.publish_hours([NOON_MS])
    expected = [cell(Live(9, "abcd")), cell(Live(2, ad_id="ad_2", outcome="bot"))]
    assert stored.final("minute") == expected


def test_staging_replaces_what_was_staged_before(stored: Stored, tmp_path: Path) -> None:
    store = stored.store
    store.stage(recounted(tmp_path, Live(2, ["a"]), Live(2, ["a"], ad_id="ad_2")))
    files = recounted(tmp_path, Live(3, ["b"]))
    for _ in range(2):
        store.stage(files)
    assert store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, "live", 9).events == 3
    store.stage([])
    assert store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, "live", 9) == NOTHING


def test_a_file_without_rows_stages_nothing(stored: Stored, tmp_path: Path) -> None:
    stored.store.stage(recounted(tmp_path))
    stored.store.publish_hours([NOON_MS])
    assert stored.final("minute") == []


def test_nasty_ids_are_staged_and_published_as_they_are(stored: Stored, tmp_path: Path) -> None:
    nasty = ["'\\N\t\n\0", "größe \u6f22 \U0001f600", "=1+1", "{x:String}", "'); DROP TABLE t; --", "x" * 128]
    rows = [Live(1, [text], text, NOON_S, text, text, text, text) for text in nasty]
    publish(stored.store, tmp_path, NOON_MS, *rows)
    assert stored.final("minute") == sorted(map(cell, rows))
    assert stored.final("quarter_hour") == sorted(map(cell, rows))


@pytest.mark.parametrize("name", ["it's", "a b\\t", "größe"])
def test_files_are_found_whatever_their_folder_is_called(stored: Stored, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    publish(stored.store, folder, NOON_MS, Live(2, ["a"]))
    assert stored.final("minute") == [cell(Live(2, ["a"]))]


def test_what_is_staged_as_it_was_differs_in_nothing(store: Store, tmp_path: Path) -> None:
    store.append_live(live(Live(3, ["a"], shard="0"), Live(2, ["b"], shard="0")))
    store.append_live(live(Live(4, ["a"], shard="1"), Live(1, ad_id="ad_2", minute_s=NOON_S + 59 * MINUTE_S)))
    store.stage(recounted(tmp_path, Live(7, "ab"), Live(1, ad_id="ad_2", minute_s=NOON_S + 59 * MINUTE_S)))
    assert store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, "live", 9) == NOTHING
    store.publish_hours([NOON_MS])
    assert store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, "minute", 9) == NOTHING


def difference(old: int, new: int, ad_id: str) -> CellDifference:
    return CellDifference("acme", "spring", ad_id, NOON_S, "mobile", "counted", old, new)


def test_differences_are_found_in_both_directions_and_on_either_side_alone(store: Store, tmp_path: Path) -> None:
    before = [Live(n, ["u"], ad_id=ad_id) for ad_id, n in {"fewer": 7, "gone": 2, "more": 3, "same": 5}.items()]
    after = [Live(n, ["u"], ad_id=ad_id) for ad_id, n in {"fewer": 4, "more": 13, "new": 1, "same": 5}.items()]
    listed = (difference(7, 4, "fewer"), difference(2, 0, "gone"), difference(3, 13, "more"), difference(0, 1, "new"))
    store.append_live(live(*before))
    publish(store, tmp_path, NOON_MS, *before)
    store.stage(recounted(tmp_path, *after))
    for against in ("live", "minute"):
        for limit in (9, 4, 2, 0):
            found = store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, against, limit)
            assert found == Differences(4, 16, listed[:limit])


def test_differences_are_those_of_the_range_alone_in_the_order_of_their_fields(store: Store, tmp_path: Path) -> None:
    rows = [
        Live(1, advertiser_id="b"),
        Live(1, ad_id="z"),
        Live(1, campaign_id="a", ad_id="zz"),
        Live(1, minute_s=NOON_S + MINUTE_S),
        Live(1, device="desktop"),
        Live(1, outcome="bot"),
    ]
    outside = [Live(1, minute_s=NOON_S - MINUTE_S), Live(1, minute_s=NOON_S + 3600)]
    store.stage(recounted(tmp_path, *rows, *outside))
    store.append_live(live(Live(9, minute_s=NOON_S - 2 * MINUTE_S), Live(9, minute_s=NOON_S + 3660)))
    found = store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, "live", 100)
    expected = sorted(cell(row)[:6] for row in rows)
    assert [(one.advertiser_id, one.campaign_id, one.ad_id, one.minute_s, one.device, one.outcome)
            for one in found.listed] == expected  # fmt: skip
    assert (found.cells, found.events) == (6, 6)


def test_a_published_hour_takes_the_place_of_the_old_one_and_leaves_the_others_alone(
    stored: Stored, tmp_path: Path
) -> None:
    store = stored.store
    before = Live(2, ["a", "b"], minute_s=NOON_S - MINUTE_S)
    publish(store, tmp_path, NOON_MS - HOUR_MS, before)
    publish(store, tmp_path, NOON_MS, Live(5, ["a"]), Live(3, ["x"], ad_id="ad_2"))
    assert stored.final("minute") == [cell(before), cell(Live(5, ["a"])), cell(Live(3, ["x"], ad_id="ad_2"))]
    for _ in range(2):
        publish(store, tmp_path, NOON_MS, Live(4, ["a", "c"]))
        assert stored.final("minute") == [cell(before), cell(Live(4, ["a", "c"]))]
        assert stored.final("quarter_hour") == [cell(before, NOON_S - 900), cell(Live(4, ["a", "c"]))]
    for _ in range(2):
        publish(store, tmp_path, NOON_MS)
        assert stored.final("minute") == [cell(before)]
        assert stored.final("quarter_hour") == [cell(before, NOON_S - 900)]
    publish(store, tmp_path, NOON_MS, Live(1))
    assert stored.final("minute") == [cell(before), cell(Live(1))]


def test_publishing_says_what_the_hour_and_its_day_hold_now(store: Store, tmp_path: Path) -> None:
    late = Live(2, minute_s=NOON_S + 3600)
    store.stage(recounted(tmp_path, Live(5), Live(1, minute_s=NOON_S + MINUTE_S), Live(4, outcome="bot"), late))
    first = store.publish_hours([NOON_MS])
    assert first == [Span("minute", NOON_MS, 3, 10), Span("quarter_hour", DAY_START_MS, 2, 10)]
    assert store.publish_hours([NOON_MS + HOUR_MS]) == [
        Span("minute", NOON_MS + HOUR_MS, 1, 2),
        Span("quarter_hour", DAY_START_MS, 3, 12),
    ]
    store.stage([])
    assert store.publish_hours([NOON_MS])[1] == Span("quarter_hour", DAY_START_MS, 1, 2)
    emptied = store.publish_hours([NOON_MS + HOUR_MS])
    assert emptied == [Span("minute", NOON_MS + HOUR_MS, 0, 0), Span("quarter_hour", DAY_START_MS, 0, 0)]


def some_rows(rnd: random.Random, start_ms: int, hours: int, count: int) -> list[Live]:
    cells = {
        (ad_id, start_ms // 1000 + rnd.randrange(hours * 60) * MINUTE_S, device): rnd.sample("abcdefgh", 3)
        for ad_id in ("ad_1", "ad_2", "ad_3")
        for device in ("mobile", "desktop")
        for _ in range(count)
    }
    return [Live(len(users), users, ad, minute_s, device=device) for (ad, minute_s, device), users in cells.items()]


def test_quarter_hours_built_hour_by_hour_in_any_order_equal_those_of_the_whole_day(
    stored: Stored, tmp_path: Path, seed: int
) -> None:
    rnd = random.Random(seed)
    rows = some_rows(rnd, DAY_START_MS, 24, 60)
    hours_ms = [DAY_START_MS + hour * HOUR_MS for hour in range(24)]
    rnd.shuffle(hours_ms)
    expected: dict[tuple[str, int, str], tuple[int, set[str]]] = {}
    for row in rows:
        key = (row.ad_id, row.minute_s // 900 * 900, row.device)
        clicks, users = expected.get(key, (0, set()))
        expected[key] = (clicks + row.clicks, users | set(row.users))
    quarters = [Live(clicks, users, ad, s, device=device) for (ad, s, device), (clicks, users) in expected.items()]
    for hour_ms in hours_ms:
        publish(stored.store, tmp_path, hour_ms, *some_rows(rnd, hour_ms, 1, 1))
        own = [row for row in rows if hour_ms <= row.minute_s * 1000 < hour_ms + HOUR_MS]
        publish(stored.store, tmp_path, hour_ms, *own)
    assert stored.final("quarter_hour") == sorted(map(cell, quarters))
    stored.store.stage(recounted(tmp_path, *rows))
    for hour_ms in hours_ms:
        stored.store.publish_hours([hour_ms])
    assert stored.final("quarter_hour") == sorted(map(cell, quarters))


def test_days_and_months_follow_from_what_is_below_with_users_united(stored: Stored, tmp_path: Path) -> None:
    store = stored.store
    times = ["2026-10-31T23:45", "2026-11-01T00:00", "2026-11-01T23:59", "2026-11-30T12:00", "2026-12-01T00:00"]
    for n, text in enumerate(times):
        hour_ms = at_ms(text) // HOUR_MS * HOUR_MS
        publish(store, tmp_path, hour_ms, Live(10**n, ["same", f"u{n}"], minute_s=at_ms(text) // 1000))
    first, second, last, december = (at_ms(day) for day in ("2026-10-31", "2026-11-01", "2026-11-30", "2026-12-01"))
    for day_ms in (first, second, last, december):
        store.publish_day(day_ms)
    assert store.publish_day(second) == Span("day", second, 1, 110)
    assert store.publish_day(second + DAY_MS) == Span("day", second + DAY_MS, 0, 0)
    days = [(first, 1, 2), (second, 110, 3), (last, 1_000, 2), (december, 10_000, 2)]
    assert [(row[3] * 1000, *row[6:]) for row in stored.final("day")] == days
    assert store.publish_month(second) == Span("month", second, 1, 1_110)
    assert [(row[3] * 1000, *row[6:]) for row in stored.final("month")] == [(second, 1_110, 4)]
    publish(store, tmp_path, at_ms("2026-11-30T12:00"))
    assert store.publish_day(last) == Span("day", last, 0, 0)
    for _ in range(2):
        assert store.publish_month(second) == Span("month", second, 1, 110)


def test_whole_partitions_that_have_ended_are_dropped_and_no_others(stored: Stored, tmp_path: Path) -> None:
    store = stored.store
    days_ms = [at_ms(day) for day in ("2026-10-25", "2026-11-01", "2026-12-01")]
    for day_ms in days_ms:
        publish(store, tmp_path, day_ms, Live(1, minute_s=day_ms // 1000))
        store.publish_day(day_ms)
        store.publish_month(at_ms(f"{datetime.fromtimestamp(day_ms // 1000, UTC):%Y-%m}-01"))
    held: dict[Grain, int] = {"minute": 6 * HOUR_MS, "quarter_hour": DAY_MS, "day": DAY_MS, "month": 30 * DAY_MS}
    # Both of the first are Sundays, which end the weeks that days go by.
    for grain, length_ms in held.items():
        store.drop_final_before(grain, days_ms[1] + length_ms - 1)
        assert len(stored.final(grain)) == 2
        for _ in range(2):
            store.drop_final_before(grain, days_ms[1] + length_ms)
            assert [row[3] * 1000 for row in stored.final(grain)] == days_ms[2:]


def test_spans_tell_what_the_partitions_that_begin_in_a_range_hold(store: Store, tmp_path: Path) -> None:
    publish(store, tmp_path, NOON_MS, Live(5), Live(2, outcome="bot"))
    publish(store, tmp_path, NOON_MS + 2 * HOUR_MS, Live(3, minute_s=NOON_S + 7_200))
    store.publish_day(DAY_START_MS)
    store.publish_month(at_ms("2026-11-01"))
    first, second = Span("minute", NOON_MS, 2, 7), Span("minute", NOON_MS + 2 * HOUR_MS, 1, 3)
    assert store.spans("minute", NOON_MS, NOON_MS + 2 * HOUR_MS + 1) == [first, second]
    assert store.spans("minute", NOON_MS, NOON_MS + 2 * HOUR_MS) == [first]
    assert store.spans("minute", NOON_MS + 1, NOON_MS + 2 * HOUR_MS + 1) == [second]
    assert store.spans("quarter_hour", 0, NOON_MS) == [Span("quarter_hour", DAY_START_MS, 3, 10)]
    assert store.spans("day", 0, NOON_MS) == [Span("day", DAY_START_MS, 2, 10)]
    assert store.spans("month", 0, NOON_MS) == [Span("month", at_ms("2026-11-01"), 2, 10)]
    assert store.spans("day", NOON_MS, NOON_MS + DAY_MS) == []


def test_readers_see_the_old_hour_or_the_new_one_and_never_both_or_neither(store: Store, tmp_path: Path) -> None:
    versions = [recounted(tmp_path, *(Live(n, [f"u{n}"], ad_id=ad) for ad in "abcd")) for n in (1, 100)]
    store.stage(versions[0])
    store.publish_hours([NOON_MS])
    ended, problems, seen = threading.Event(), list[BaseException](), set[int]()

    def read() -> None:
        try:
            while not ended.is_set():
                for sources in (minute_source(), (Source("quarter_hour", NOON_MS, NOON_MS + HOUR_MS),)):
                    edges_ms = (NOON_MS, NOON_MS + HOUR_MS)
                    found = groups(store, "ad_id", edges_ms=edges_ms, sources=sources)
                    assert len(found) == 4
                    assert len(set(found.values())) == 1
                    seen.update(found.values())
        except BaseException as error:
            problems.append(error)

    def was_read(clicks: int) -> Callable[[], bool]:
        return lambda: clicks in seen or bool(problems)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for n in range(1, 21):
            store.stage(versions[n % 2])
            store.publish_hours([NOON_MS])
            # Until each was read once, so that readers were there whatever the machine does.
            wait_for(was_read((1, 100)[n % 2]), 60, "the readers read what is published")
    finally:
        ended.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert seen == {1, 100}
