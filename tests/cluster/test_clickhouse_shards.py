"""Several ClickHouse servers as one store: who lies where, and what is said when one of them is away."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from deploy.local.clickhouse import ClickHouse

from adtally.errors import ConfigError, StoreUnavailableError
from adtally.olap.clickhouse import ClickHouseStore
from adtally.olap.port import Source, Span
from adtally.reconcile.passes import Wanted
from support.olap_stores import (
    HOUR_MS,
    NOON_S,
    Live,
    cell,
    clickhouse,
    clickhouse_stored,
    final_cells,
    groups,
    live,
    publish,
    recounted,
    total,
)
from support.reconciling import SETTLED_MS, Backend, check_final, history, hour, without_times

pytestmark = pytest.mark.servers

NOON_MS = NOON_S * 1000
DAY_MS = NOON_MS - 12 * HOUR_MS
FIRST, SECOND = "acme", "zeta"
"""Advertisers on the first and on the second of two shards."""
FINAL: dict[str, Any] = {
    "edges_ms": (NOON_MS, NOON_MS + HOUR_MS),
    "sources": (Source("minute", NOON_MS, NOON_MS + HOUR_MS),),
}


@pytest.fixture
def pair(shard_servers: list[ClickHouse]) -> Iterator[list[ClickHouse]]:
    yield shard_servers
    for one in shard_servers:
        if not one.alive:
            one.start()


@pytest.fixture
def store(pair: list[ClickHouse]) -> Iterator[Any]:
    opened = clickhouse_stored(*pair)
    yield opened.store
    for one in pair:
        if not one.alive:
            one.start()
    opened.close()


def both(clicks: int, *users: str) -> tuple[Live, Live]:
    """Give a row of each shard."""
    return Live(clicks, users, advertiser_id=FIRST), Live(clicks, users, advertiser_id=SECOND)


def test_each_advertiser_lies_on_one_server_and_its_users_are_united_with_the_others(
    store: ClickHouseStore, tmp_path: Path
) -> None:
    store.append_live(live(*both(3, "same", "u1")))
    publish(store, tmp_path, NOON_MS, *both(5, "same", "u2"))
    for shard, advertiser in zip(store._shards, (FIRST, SECOND), strict=True):
        for table in ("minute_live", "minute_final_6h", "quarter_hour_final"):
            assert shard.run(f"SELECT DISTINCT advertiser_id FROM {store._database}.{table}") == [[advertiser]]
    assert total(store) == (6, 2)
    assert total(store, **FINAL) == (10, 2)
    for advertiser in (FIRST, SECOND):
        assert total(store, tenant=advertiser) == (3, 2)
        assert total(store, tenant=advertiser, **FINAL) == (5, 2)
    assert groups(store, "advertiser_id", order="clicks") == {(FIRST,): 3, (SECOND,): 3}


def test_what_is_published_is_told_for_all_servers_together(store: ClickHouseStore, tmp_path: Path) -> None:
    only_second = Live(7, advertiser_id=SECOND, minute_s=NOON_S + 3600)
    store.stage(recounted(tmp_path, *both(5), only_second))
    quarters = Span("quarter_hour", DAY_MS, 3, 17)
    later = NOON_MS + HOUR_MS
    assert store.publish_hours([NOON_MS, later]) == [
        Span("minute", NOON_MS, 2, 10),
        Span("minute", later, 1, 7),
        quarters,
    ]
    assert store.spans("minute", 0, 2**41) == [Span("minute", NOON_MS, 2, 10), Span("minute", later, 1, 7)]
    assert store.publish_day(DAY_MS) == Span("day", DAY_MS, 2, 17)
    found = store.staged_differences(NOON_MS, later + HOUR_MS, "live", 2)
    assert (found.cells, found.events) == (3, 17)
    assert [one.advertiser_id for one in found.listed] == [FIRST, SECOND]


@pytest.mark.parametrize("down", [0, 1])
def test_while_a_server_is_away_there_is_no_answer_that_lacks_its_part(
    store: ClickHouseStore, pair: list[ClickHouse], tmp_path: Path, down: int
) -> None:
    store.append_live(live(*both(3, "u")))
    publish(store, tmp_path, NOON_MS, *both(5, "u"))
    files = recounted(tmp_path, *both(5, "u"))
    here, gone = (SECOND, FIRST) if down == 0 else (FIRST, SECOND)
    pair[down].kill()
    # More than once: each server is asked in turn.
    for _ in range(3):
        for asked in ({}, FINAL, {"tenant": gone}, {"ad_ids": ("ad_1",)}):
            with pytest.raises(StoreUnavailableError):
                total(store, **asked)
        assert total(store, tenant=here) == (3, 1)
    for refused in (
        store.ping,
        lambda: store.append_live(live(*both(4))),
        lambda: store.stage(files),
        lambda: store.publish_hours([NOON_MS]),
        lambda: store.spans("minute", 0, 2**41),
        lambda: store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, "live", 9),
    ):
        with pytest.raises(StoreUnavailableError):
            refused()
    pair[down].start()
    store.append_live(live(*both(4)))
    assert total(store) == (8, 1)
    assert total(store, **FINAL)[0] in (0, 5, 10)
    publish(store, tmp_path, NOON_MS, *both(5, "u"))
    assert total(store, **FINAL) == (10, 1)


@pytest.mark.parametrize("dies", [0, 1])
def test_a_publishing_in_which_a_server_died_is_made_right_by_a_repeat(
    store: ClickHouseStore, pair: list[ClickHouse], tmp_path: Path, dies: int
) -> None:
    old, new = both(5, "a"), both(9, "a", "b")
    publish(store, tmp_path, NOON_MS, *old)
    files = recounted(tmp_path, *new)
    store.stage(files)
    pair[dies].kill()
    with pytest.raises(StoreUnavailableError):
        store.publish_hours([NOON_MS])
    pair[dies].start()
    # Each advertiser has its old numbers or its new ones.
    found = {row[0]: row for row in final_cells(store, "minute")}
    for before, after in zip(old, new, strict=True):
        assert found[before.advertiser_id] in (cell(before), cell(after))
    store.stage(files)
    assert store.publish_hours([NOON_MS]) == [Span("minute", NOON_MS, 2, 18), Span("quarter_hour", DAY_MS, 2, 18)]
    assert final_cells(store, "minute") == sorted(map(cell, new))


def test_servers_that_are_other_shards_than_before_are_refused(store: ClickHouseStore, pair: list[ClickHouse]) -> None:
    database = store._database
    for other in ((pair[1], pair[0]), (pair[0],), (pair[0], pair[1], pair[0])):
        with pytest.raises(ConfigError, match=r"olap\.urls.*keep the order"):
            clickhouse(*other, database=database)
    again = clickhouse(*pair, database=database)
    assert store.migrate() == again.migrate()
    again.close()


def test_a_new_database_over_other_shards_is_filled_from_the_lake(
    store: ClickHouseStore, tmp_path: Path, seed: int
) -> None:
    backend = Backend(tmp_path)
    events = history(random.Random(seed), 400, hour(1), hour(27))
    # Half of the clicks are of an advertiser on each shard.
    backend.archive(msgspec.structs.replace(event, advertiser_id=(FIRST, SECOND)[event.seq % 2]) for event in events)
    backend.count_live(backend.live_of(hour(1), hour(27)))
    backend.run(hour(27) + SETTLED_MS)
    before = without_times([backend.line(index) for index in range(1, 27)])
    backend.store = store
    backend.restart()
    report = backend.run(hour(27) + 2 * SETTLED_MS, Wanted(verify=True))
    assert not report.failures
    assert without_times([backend.line(index) for index in range(1, 27)]) == before
    check_final(backend, 1, 27)
    assert backend.final(hour(0), hour(24), "day") == backend.expected(hour(0), hour(24))
    for shard, advertiser in zip(store._shards, (FIRST, SECOND), strict=True):
        assert shard.run(f"SELECT DISTINCT advertiser_id FROM {store._database}.minute_final_6h") == [[advertiser]]


def test_servers_that_do_not_reach_each_other_are_refused(pair: list[ClickHouse], tmp_path: Path) -> None:
    alone = ClickHouse(tmp_path / "alone")
    alone.password = pair[0].password
    alone.start()
    try:
        with pytest.raises(ConfigError, match=r"remote_servers.*reaches the shards \[0\]"):
            clickhouse(alone, pair[0])
        with pytest.raises(StoreUnavailableError, match=r"does not reach.*remote_servers"):
            clickhouse(pair[0], alone)
    finally:
        alone.stop()
