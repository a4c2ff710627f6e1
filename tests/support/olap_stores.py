"""The OLAP stores that the contract is tested on, and what lies in them as seen from behind their ports."""

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from deploy.local.clickhouse import ClickHouse

from adtally.errors import AdtallyError
from adtally.olap.chdb import ChdbStore
from adtally.olap.clickhouse import ClickHouseStore, everywhere
from adtally.olap.clickhouse_sql import TABLES
from adtally.olap.port import (
    EVERYONE,
    FINAL_COLUMNS,
    AggregateQuery,
    Grain,
    LiveRows,
    OlapAdmin,
    OlapReader,
    OlapWriter,
)
from support.memory_olap import MemoryOlap

MEMORY_BYTES_MAX = 1 << 30
HOUR_MS = 3_600_000
MINUTE_S = 60
NOON_S = 1_795_780_800
"""2026-11-27T12:00:00Z"""
DAY_EDGES_MS = (NOON_S * 1000 - 12 * HOUR_MS, NOON_S * 1000 + 12 * HOUR_MS)

Cell = tuple[str, str, str, int, str, str, int, int]
"""advertiser, campaign, ad, time in epoch seconds, device, outcome, clicks, users"""

FILE_SCHEMA = pa.schema(
    [
        ("advertiser_id", pa.string()),
        ("campaign_id", pa.string()),
        ("ad_id", pa.string()),
        ("minute_s", pa.int64()),
        ("device", pa.string()),
        ("outcome", pa.string()),
        ("clicks", pa.int64()),
        ("users", pa.list_(pa.string())),
    ]
)


class Store(OlapWriter, OlapReader, OlapAdmin, Protocol):
    """All three sides of a store."""


class Stored(NamedTuple):
    """A fresh store, and a look into its final tables that goes around its port."""

    store: Store
    final: Callable[[Grain], list[Cell]]
    close: Callable[[], None]


class Live(NamedTuple):
    """One row of the live table; what a test does not care about has a value already."""

    clicks: int
    users: Iterable[str] = ()
    ad_id: str = "ad_1"
    minute_s: int = NOON_S
    advertiser_id: str = "acme"
    campaign_id: str = "spring"
    device: str = "mobile"
    outcome: str = "counted"
    shard: str = "0"


def live(*rows: Live) -> LiveRows:
    return LiveRows(
        **{name: [getattr(row, name) for row in rows] for name in Live._fields if name != "users"},
        users=[list(row.users) for row in rows],
    )


def recounted(folder: Path, *rows: Live) -> list[str]:
    """Write a file as a recount does, and give what is to be staged."""
    file = folder / f"recounted-{len(list(folder.iterdir()))}.parquet"
    columns = {name: [getattr(row, name) for row in rows] for name in FINAL_COLUMNS}
    columns["users"] = [list(users) for users in columns["users"]]
    pq.write_table(pa.table(columns, schema=FILE_SCHEMA), file)
    return [str(file)]


def publish(store: OlapWriter, folder: Path, hour_ms: int, *rows: Live) -> None:
    """Make `rows` an hour's final minutes."""
    store.stage(recounted(folder, *rows))
    store.publish_hours([hour_ms])


def cell(row: Live, time_s: int | None = None) -> Cell:
    """Give what a final table holds of a row."""
    at_s = row.minute_s if time_s is None else time_s
    key = (row.advertiser_id, row.campaign_id, row.ad_id, at_s, row.device, row.outcome)
    return (*key, row.clicks, len(set(row.users)))


def memory(_: Path) -> Stored:
    store = MemoryOlap()

    def final(grain: Grain) -> list[Cell]:
        return sorted((*key, held.clicks, len(held.users)) for key, held in store.final[grain].items())

    return Stored(store, final, lambda: None)


def chdb(path: Path) -> Stored:
    store = ChdbStore(path / "olap", MEMORY_BYTES_MAX)
    store.migrate()
    return Stored(store, lambda grain: final_cells(store, grain), store.close)


def clickhouse(*servers: ClickHouse, database: str | None = None) -> ClickHouseStore:
    """Give a store in a database of its own on running servers, each a shard."""
    store = ClickHouseStore(
        [server.url for server in servers],
        servers[0].user,
        servers[0].password,
        database=database or f"t_{secrets.token_hex(6)}",
        memory_bytes_max=MEMORY_BYTES_MAX,
    )
    try:
        store.migrate()
    except AdtallyError:
        store.close()
        raise
    return store


def clickhouse_stored(*servers: ClickHouse) -> Stored:
    store = clickhouse(*servers)

    def close() -> None:
        for database in (store._database, everywhere.name_of(store._database)):
            store._run(f"DROP DATABASE IF EXISTS {database}")
        store.close()

    return Stored(store, lambda grain: final_cells(store, grain), close)


def final_cells(store: ChdbStore | ClickHouseStore, grain: Grain) -> list[Cell]:
    """Give a table's rows one by one: a cell in two rows would be there twice."""
    rows = store._run(
        f"SELECT advertiser_id, campaign_id, ad_id, toUInt32({TABLES[grain].time}), toString(device), "
        f"toString(outcome), toUInt32(clicks), toUInt32(finalizeAggregation(users)) "
        f"FROM {store._database}.{TABLES[grain].name}"
    )
    return sorted(tuple(row) for row in rows)


def total(store: OlapReader, **asked: Any) -> tuple[int, int]:
    """Give clicks and users of everything in the day, or of what was asked for."""
    query = AggregateQuery(**{"tenant": EVERYONE, "edges_ms": DAY_EDGES_MS, "measures": ("clicks", "users"), **asked})
    (row,) = store.aggregate(query)
    assert row.group == ()
    return row.clicks, row.users


def groups(store: OlapReader, *group_by: str, **asked: Any) -> dict[tuple[Any, ...], int]:
    """Give clicks by group, in the order of the answer."""
    query = AggregateQuery(**{"tenant": EVERYONE, "edges_ms": DAY_EDGES_MS, "group_by": group_by, **asked})
    found: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in store.aggregate(query):
        assert row.group not in found
        found[row.group] = row.clicks
    return dict(found)
