"""The OLAP stores that the contract is tested on, and what lies in them as seen from behind their ports."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from adtally.olap.chdb import ChdbStore
from adtally.olap.port import EVERYONE, AggregateQuery, FinalRows, LiveRows, OlapAdmin, OlapReader, OlapWriter
from support.memory_olap import MemoryOlap

MEMORY_BYTES_MAX = 1 << 30
HOUR_MS = 3_600_000
MINUTE_S = 60
NOON_S = 1_795_780_800
"""2026-11-27T12:00:00Z"""
DAY_EDGES_MS = (NOON_S * 1000 - 12 * HOUR_MS, NOON_S * 1000 + 12 * HOUR_MS)

Minute = tuple[str, str, str, int, str, str, int, int]
"""advertiser, campaign, ad, minute in epoch seconds, device, outcome, clicks, users"""


class Store(OlapWriter, OlapReader, OlapAdmin, Protocol):
    """All three sides of a store."""


class Stored(NamedTuple):
    """A fresh store, and a look into its final minutes that goes around its port."""

    store: Store
    final_minutes: Callable[[], list[Minute]]
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


def final(*rows: Live) -> FinalRows:
    columns = live(*rows)
    return FinalRows(**{name: getattr(columns, name) for name in FinalRows.__struct_fields__})


def memory(_: Path) -> Stored:
    store = MemoryOlap()

    def final_minutes() -> list[Minute]:
        return sorted(
            (*key, clicks, len(set(users)))
            for rows in store.final_hours.values()
            for *key, clicks, users in zip(*(getattr(rows, name) for name in FinalRows.__struct_fields__), strict=True)
        )

    return Stored(store, final_minutes, lambda: None)


def chdb(path: Path) -> Stored:
    store = ChdbStore(path / "olap", MEMORY_BYTES_MAX)
    store.migrate()

    def final_minutes() -> list[Minute]:
        raw = store._run(
            "SELECT advertiser_id, campaign_id, ad_id, toUInt32(minute), toString(device), toString(outcome), "
            "toUInt32(clicks), toUInt32(uniqCombinedMerge(17)(users)) FROM adtally.minute_final "
            "GROUP BY advertiser_id, campaign_id, ad_id, minute, device, outcome, clicks"
        )
        return sorted(tuple(json.loads(line)) for line in raw.splitlines())

    return Stored(store, final_minutes, store.close)


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
