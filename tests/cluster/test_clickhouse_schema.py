"""The schema on ClickHouse servers: chDB's, and made by many at once."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deploy.local.clickhouse import ClickHouse

from adtally.olap import migrations
from adtally.olap.chdb import ChdbStore
from adtally.olap.clickhouse import ClickHouseStore
from adtally.olap.clickhouse_sql import TABLES
from adtally.olap.migrations import SCHEMA_VERSION
from support.olap_stores import MEMORY_BYTES_MAX, Live, chdb, clickhouse_stored, live, total
from support.older_stores import OLD_ROWS, old_rows
from support.servers import Servers

pytestmark = pytest.mark.servers

ROLES = 5


def columns(store: ChdbStore | ClickHouseStore) -> list[list[Any]]:
    return store._run(
        "SELECT table, name, type FROM system.columns "
        f"WHERE database = '{store._database}' AND match(table, '^(minute|quarter_hour|day|month)_') "
        "AND table NOT IN ('minute_recounted', 'minute_live_rows_feed') AND table NOT LIKE '.inner%' "
        "ORDER BY table, name"
    )


def test_chdb_and_the_server_have_the_same_tables_with_the_same_columns(servers: Servers, tmp_path: Path) -> None:
    ours, theirs = chdb(tmp_path), clickhouse_stored(servers.running(ClickHouse))
    found = columns(ours.store)  # type: ignore[arg-type]
    assert len({table for table, _, _ in found}) == 11
    assert columns(theirs.store) == found  # type: ignore[arg-type]
    ours.close()
    theirs.close()


def stores_of(servers: list[ClickHouse], database: str) -> list[ClickHouseStore]:
    return [
        ClickHouseStore(
            [server.url for server in servers],
            servers[0].user,
            servers[0].password,
            database=database,
            memory_bytes_max=MEMORY_BYTES_MAX,
        )
        for _ in range(ROLES)
    ]


def all_at_once(start: Callable[[int], None]) -> None:
    """Call it with each role's number, from as many threads."""
    problems: list[BaseException] = []
    together = threading.Barrier(ROLES)

    def run(number: int) -> None:
        try:
            together.wait()
            start(number)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(ROLES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


@pytest.mark.parametrize("trial", range(3))
@pytest.mark.parametrize("shards", [1, 2])
def test_roles_that_start_at_once_make_one_schema_and_lose_no_row(
    shard_servers: list[ClickHouse], servers: Servers, shards: int, trial: int
) -> None:
    some = shard_servers if shards == 2 else [servers.running(ClickHouse)]
    database = f"t_at_once_{shards}_{trial}"
    stores = stores_of(some, database)

    def start(number: int) -> None:
        assert stores[number].migrate() == SCHEMA_VERSION
        for n in range(1, 11):
            ids = [f"u{number}-{n}"]
            stores[number].append_live(
                live(*(Live(n, ids, advertiser_id=advertiser, shard=str(number)) for advertiser in ("acme", "zeta")))
            )

    all_at_once(start)
    assert total(stores[0]) == (100, 50)
    for store in stores:
        store.close()


@pytest.mark.parametrize("trial", range(3))
def test_roles_that_start_at_once_on_an_older_schema_move_each_row_once(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, trial: int
) -> None:
    stores = stores_of([servers.running(ClickHouse)], f"t_older_{trial}")
    database = stores[0]._database
    of_all = migrations.migrations
    with monkeypatch.context() as older:
        older.setattr(migrations, "migrations", lambda name: {n: of_all(name)[n] for n in range(1, 5)})
        stores[0].migrate()
    for table, time, step_s in OLD_ROWS.values():
        stores[0]._run(f"INSERT INTO {database}.{table} {old_rows(time, step_s, 60)}")

    def start(number: int) -> None:
        assert stores[number].migrate() == SCHEMA_VERSION

    all_at_once(start)
    for named in (TABLES["minute"], TABLES["day"]):
        found = stores[0]._run(
            f"SELECT toUInt32(count()), toUInt32(uniqExact(ad_id)), toUInt32(sum(clicks)) FROM {database}.{named.name}"
        )
        assert found == [[60, 60, 1_830]]
    left = stores[0]._run(
        f"SELECT name FROM system.tables WHERE database = '{database}' AND match(name, '_copy_|^(minute|day)_final$')"
    )
    assert left == []
    for store in stores:
        store.close()
