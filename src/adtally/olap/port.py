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

Grain = Literal["minute", "quarter_hour", "day", "month"]
"""The final tables: all in UTC; every zone's offset is a multiple of 15 minutes."""

Table = Literal["live", "minute", "quarter_hour", "day", "month"]

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


FINAL_COLUMNS: Final = ("advertiser_id", "campaign_id", "ad_id", "minute_s", "device", "outcome", "clicks", "users")
"""Of a Parquet file of recounted minutes: texts, but minute_s (epoch seconds) and clicks (events) 64-bit integers, and
users a list of texts, empty unless the outcome is `counted`. Rows of one cell add up; their users are united."""


class Source(msgspec.Struct, frozen=True):
    """Which table answers for [start_ms, end_ms). Bounds, and bucket edges inside, are whole cells of the table."""

    table: Table
    start_ms: int
    end_ms: int


class Span(msgspec.Struct, frozen=True):
    """What is published as one: an hour of minutes, a day of quarter hours, a day, a month.

    Its rows in the final table, and the sum of their counts over all outcomes.
    """

    grain: Grain
    start_ms: int
    rows: int
    events: int


class CellDifference(msgspec.Struct, frozen=True):
    """A cell whose count in the staged minutes (`new`) is not what it is elsewhere (`old`). 0 stands for no row."""

    advertiser_id: str
    campaign_id: str
    ad_id: str
    minute_s: int
    device: str
    outcome: str
    old: int
    new: int


class Differences(msgspec.Struct, frozen=True):
    """How staged minutes differ from what was there before: all cells counted, the first `limit` of them listed."""

    cells: int
    events: int
    """Sum over all cells of |new - old|."""
    listed: tuple[CellDifference, ...]


class AggregateQuery(msgspec.Struct, frozen=True):
    """Sums and distinct users over a range of time, grouped.

    `tenant` is an advertiser's id or EVERYONE. `edges_ms` are the bucket edges, ascending, at least two: bucket i is
    [edges_ms[i], edges_ms[i+1]), and a minute belongs to the one that holds its start. Empty filters admit all.

    `sources` say which table answers for which part of the range; they adjoin and cover it. Without any, the live table
    answers for all.

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
    sources: tuple[Source, ...] = ()
    after: tuple[str, ...] = ()
    """Only groups behind this one, which has a value for each of `group_by`; not with buckets."""
    totals: bool = False
    """End the answer with a row whose group is empty: all groups as one, those that `limit` leaves out too. Needs
    `group_by`."""


class AggregateRow(msgspec.Struct, frozen=True, gc=False):
    """One group. `group` has a value for each of the query's `group_by`, a bucket being its index."""

    group: tuple[str | int, ...]
    clicks: int
    users: int
    """0 where the query did not ask for users."""


class OlapWriter(Protocol):
    """Writes live rows and final partitions. Every call may be repeated; live rows may also overtake each other.

    Staging and publishing are for one caller at a time, the reconciler. Of each advertiser in a published span readers
    see the old rows or the new ones, never both, never neither; a store on several servers may come to different
    advertisers at different instants. All raise StoreUnavailableError if the store, or any server of it,
    does not answer: then nothing, a part or all may have been done.
    """

    def append_live(self, rows: LiveRows) -> None:
        """Merge rows into the live table; visible to readers on return."""
        ...

    def drop_live_before(self, ts_ms: int) -> None:
        """Drop whole hours of the live table that end at or before `ts_ms`."""
        ...

    def stage(self, files: Sequence[str]) -> None:
        """Put recounted minutes in the place of what was staged before: local Parquet files of FINAL_COLUMNS."""
        ...

    def staged_differences(
        self, start_ms: int, end_ms: int, against: Literal["live", "minute"], limit: int
    ) -> Differences:
        """Compare the staged minutes of [start_ms, end_ms) with a table's, cell by cell (shards of a cell summed)."""
        ...

    def publish_hours(self, hours_ms: Sequence[int]) -> list[Span]:
        """Replace the final minutes of hours of one UTC day by the staged ones, and their part of its quarter hours.

        Each table's part of an hour is replaced at once, one after the other. Give what the hours' minutes and the
        day's quarter hours now are.
        """
        ...

    def publish_day(self, day_ms: int) -> Span:
        """Replace a UTC day of the day table by what its quarter hours give; give what it holds now."""
        ...

    def publish_month(self, month_ms: int) -> Span:
        """Replace a UTC month of the month table by what its days give; give what it holds now."""
        ...

    def drop_final_before(self, grain: Grain, ts_ms: int) -> None:
        """Drop whole partitions of a final table that end at or before `ts_ms`: retention."""
        ...

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        """Give the spans of a final table that begin in [start_ms, end_ms), by start; empty ones absent."""
        ...


class OlapReader(Protocol):
    """Answers queries. Thread-safe."""

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        """Answer a query.

        Raises InvalidValueError for a query without a tenant, with fewer than two edges or edges that do not ascend, or
        ordered by users that it does not measure, or with sources that do not cover its range, or with an `after` that
        does not fit its groups, or with totals of no groups; StoreUnavailableError if the store does not answer now.
        """
        ...


class OlapAdmin(Protocol):
    """Keeps the store itself in order."""

    def migrate(self) -> int:
        """Bring the schema to this version's number, which it gives; several processes may do so at once.

        Raises DataFolderError if the store is newer, ConfigError if its servers are not those that it was made on.
        """
        ...

    def ping(self) -> None:
        """Return if the store answers. Raises StoreUnavailableError."""
        ...
