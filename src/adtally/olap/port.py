"""The OLAP store's port: a writer, a reader and an admin (design sections 4 and 5).

It fits stores that merge rows by max and union in the background (ClickHouse's AggregatingMergeTree, Druid's rollup).
Stores know no time zones: a query brings its bucket edges.
"""

from collections.abc import Sequence
from typing import Final, Literal, NewType, Protocol

import msgspec

from adtally.counting import Outcome

Dimension = Literal["bucket", "advertiser_id", "campaign_id", "ad_id", "device", "outcome"]
Measure = Literal["clicks", "users"]

EVERYONE: Final = NewType("EVERYONE", object)(object())
"""The admin's tenant: sees all advertisers. There is no default: who asks must always be said."""

USERS_METHOD: Final = "uniqCombined(17)"
USERS_STANDARD_ERROR: Final = 0.0033
"""Of the estimate, relative: about 1.04 / sqrt(2**17 / 1.33) registers of 6 bits; exact while a cell is small."""


class LiveRows(msgspec.Struct, frozen=True):
    """Rows of the live table, a list per column, all of one length.

    `clicks` is the cell's running total (merged by max), `users` the user ids to be added to it (merged by union), so
    that repeating, reordering or losing all but the last of many appends gives the same cell. Minutes are epoch
    seconds, divisible by 60.
    """

    advertiser_id: list[str]
    campaign_id: list[str]
    ad_id: list[str]
    minute_s: list[int]
    device: list[str]
    outcome: list[str]
    shard: list[str]
    clicks: list[int]
    users: list[list[str]]

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.clicks)


class FinalRows(msgspec.Struct, frozen=True):
    """Rows of final minutes, a list per column, all of one length; `users` are all user ids of the cell."""

    advertiser_id: list[str]
    campaign_id: list[str]
    ad_id: list[str]
    minute_s: list[int]
    device: list[str]
    outcome: list[str]
    clicks: list[int]
    users: list[list[str]]

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.clicks)


class AggregateQuery(msgspec.Struct, frozen=True):
    """Sums and distinct users over a range of time, grouped.

    `tenant` is an advertiser's id or EVERYONE. `edges_ms` are the bucket edges, ascending, at least two: bucket i is
    [edges_ms[i], edges_ms[i+1]), and a minute belongs to the one that holds its start. Empty filters admit all.

    Buckets and groups without rows are absent from the answer; without `group_by` the answer is exactly one row, with
    zeros if nothing was found.
    """

    tenant: str | object
    edges_ms: tuple[int, ...]
    group_by: tuple[Dimension, ...] = ()
    measures: tuple[Measure, ...] = ("clicks",)
    ad_ids: tuple[str, ...] = ()
    campaign_ids: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    order: Literal["group", "clicks", "users"] = "group"
    """By the group's own values ascending, or by a measure descending and then by group."""
    limit: int = 1_000_000


class AggregateRow(msgspec.Struct, frozen=True):
    """One group. `group` has a value for each of the query's `group_by`, a bucket being its index."""

    group: tuple[str | int, ...]
    clicks: int
    users: int
    """0 where the query did not ask for users."""


class OlapWriter(Protocol):
    """Writes live rows and final hours. Every call may be repeated; live rows may also overtake each other."""

    def append_live(self, rows: LiveRows) -> None:
        """Merge rows into the live table; visible to readers on return. Raises StoreUnavailableError."""
        ...

    def drop_live_before(self, ts_ms: int) -> None:
        """Drop whole hours of the live table that end at or before `ts_ms`."""
        ...

    def replace_final_hour(self, hour_ms: int, rows: FinalRows) -> None:
        """Put `rows` in the place of the final minutes of the hour that starts at `hour_ms`.

        Readers see the old rows or the new, never both, never neither; no rows at all empty the hour.
        """
        ...


class OlapReader(Protocol):
    """Answers queries. Thread-safe."""

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        """Answer a query.

        Raises InvalidValueError for a query without a tenant, with fewer than two edges or edges that do not ascend, or
        ordered by users that it does not measure; StoreUnavailableError if the store does not answer now.
        """
        ...


class OlapAdmin(Protocol):
    """Keeps the store itself in order."""

    def migrate(self) -> int:
        """Bring the schema to this version's number, which it gives. Raises DataFolderError if the store is newer."""
        ...

    def ping(self) -> None:
        """Return if the store answers. Raises StoreUnavailableError."""
        ...
