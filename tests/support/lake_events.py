"""Events as the lake holds them, for tests."""

from collections.abc import Iterable

import msgspec
import pyarrow as pa

from adtally.event import Event
from adtally.lake.columns import EVENT_COLUMNS
from adtally.lake.port import Lake

NOON_MS = 1_795_780_800_000
"""2026-11-27T12:00:00Z"""
HOUR_MS = 3_600_000

EVENT = Event("e1", 1, NOON_MS, "ad_1", "spring", "acme", "u1", "mobile", "ok", "192.0.2.0/24", "agent")

Id = tuple[str, int]


def click(seq: int, ts_ms: int = NOON_MS, edge_id: str = "e1", ad_id: str = "ad_1", user_id: str = "u1") -> Event:
    return msgspec.structs.replace(EVENT, edge_id=edge_id, seq=seq, ts_ms=ts_ms, ad_id=ad_id, user_id=user_id)


def rows(events: Iterable[Event], partition: str = "edge-0") -> pa.Table:
    found = [
        {
            **msgspec.structs.asdict(event),
            "append_delay_ms": 3,
            "partition": partition,
            "offset": f"{event.seq:08d}",
            "unknown_fields": None,
        }
        for event in events
    ]
    return pa.Table.from_pylist(found, schema=EVENT_COLUMNS)


def ids(table: pa.Table) -> list[Id]:
    return sorted(zip(table["edge_id"].to_pylist(), table["seq"].to_pylist(), strict=True))


def lake_rows(lake: Lake) -> list[dict[str, object]]:
    """Give every row of every file."""
    return [row for hour_ms in lake.hours() for file in lake.files(hour_ms) for row in lake.read(file).to_pylist()]


def lake_ids(lake: Lake) -> list[Id]:
    """Give every (edge_id, seq) as often as it is there."""
    return sorted((str(row["edge_id"]), int(str(row["seq"]))) for row in lake_rows(lake))
