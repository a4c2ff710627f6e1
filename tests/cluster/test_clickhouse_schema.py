"""The schema on ClickHouse servers: chDB's, and made by many at once."""

import threading
from pathlib import Path
from typing import Any

import pytest
from deploy.local.clickhouse import ClickHouse

from adtally.olap.chdb import ChdbStore
from adtally.olap.clickhouse import ClickHouseStore
from adtally.olap.migrations import SCHEMA_VERSION
from support.olap_stores import MEMORY_BYTES_MAX, Live, chdb, clickhouse_stored, live, total
from support.servers import Servers

pytestmark = pytest.mark.servers


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
    assert len({table for table, _, _ in found}) == 10
    assert columns(theirs.store) == found  # type: ignore[arg-type]
    ours.close()
    theirs.close()


@pytest.mark.parametrize("trial", range(3))
@pytest.mark.parametrize("shards", [1, 2])
def test_roles_that_start_at_once_make_one_schema_and_lose_no_row(
    shard_servers: list[ClickHouse], servers: Servers, shards: int, trial: int
) -> None:
    some = shard_servers if shards == 2 else [servers.running(ClickHouse)]
    database = f"t_at_once_{shards}_{trial}"
    stores = [
        ClickHouseStore(
            [server.url for server in some],
            some[0].user,
            some[0].password,
            database=database,
            memory_bytes_max=MEMORY_BYTES_MAX,
        )
        for _ in range(5)
    ]
    problems: list[BaseException] = []
    together = threading.Barrier(len(stores))

    def start(number: int) -> None:
        try:
            together.wait()
            assert stores[number].migrate() == SCHEMA_VERSION
            for n in range(1, 11):
                ids = [f"u{number}-{n}"]
                stores[number].append_live(
                    live(
                        *(Live(n, ids, advertiser_id=advertiser, shard=str(number)) for advertiser in ("acme", "zeta"))
                    )
                )
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert total(stores[0]) == (100, 50)
    for store in stores:
        store.close()
