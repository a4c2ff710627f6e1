"""The final tables: recounted minutes are staged, compared and published, and their rollups follow from them.

What is published is always one merged part that takes the place of a partition, together with what else that holds.
Each publishing first fills a staging table anew, so whatever a killed one left behind is gone. All this is SQL that
every engine of ClickHouse's family runs.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import msgspec

from adtally import faultpoint
from adtally.olap.cells import partition_end, partition_of, span_after
from adtally.olap.clickhouse_sql import TABLES, Parameter
from adtally.olap.port import CellDifference, Differences, Grain, Span, Table
from adtally.utc import HOUR_MS, day_of

_KEY: Final = "advertiser_id, ad_id, {time}, device, outcome, campaign_id"
_ROLLED_UP: Final = "advertiser_id, ad_id, device, outcome, campaign_id"

STAGED: Final = "minute_staged"
"""Minutes as a recount gave them: only some of its hours may be published."""

_SPAN_START: Final[Mapping[Grain, str]] = {
    "minute": "toStartOfHour(minute)",
    "quarter_hour": "toStartOfDay(time)",
    "day": "time",
    "month": "time",
}
_IN_HOURS: Final = "has({{hours_s:Array(UInt32)}}, toUInt32(toStartOfHour({time})))"

_END_MS: Final = 4_102_444_800_000
"""The year 2100, which begins a span of each table: what a column of times can hold ends not long after it."""


class Statements(Protocol):
    """What runs statements."""

    def run(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> list[list[Any]]:
        """Run a statement and give its rows. Raises StoreQueryError or StoreUnavailableError."""
        ...


class FinalTables:
    """Implements the part of OlapWriter that the reconciler calls."""

    def __init__(self, connection: Statements, database: str) -> None:
        self._connection = connection
        self._database = database

    def staged_differences(
        self, start_ms: int, end_ms: int, against: Literal["live", "minute"], limit: int
    ) -> Differences:
        """Compare the staged minutes of a range with a table's, cell by cell, listed in the order of their fields."""
        key = "advertiser_id, campaign_id, ad_id, minute, device, outcome"
        within = "minute >= toDateTime({start_s:UInt32}) AND minute < toDateTime({end_s:UInt32})"
        there = {
            "live": f"SELECT {key}, maxMerge(clicks) AS old, toUInt64(0) AS new FROM {self._database}.minute_live "
            f"WHERE {within} GROUP BY {key}, shard",
            "minute": f"SELECT {key}, clicks AS old, toUInt64(0) AS new FROM {self._name('minute')} WHERE {within}",
        }[against]
        # The names inside differ from those outside: old servers take an alias for the column of its name.
        differing = (
            f"SELECT {key}, sum(old) AS old_clicks, sum(new) AS new_clicks FROM ({there} UNION ALL "
            f"SELECT {key}, toUInt64(0) AS old, clicks AS new FROM {self._database}.{STAGED} WHERE {within}) "
            f"GROUP BY {key} HAVING old_clicks != new_clicks"
        )
        bounds: dict[str, Parameter] = {"start_s": start_ms // 1000, "end_s": end_ms // 1000}
        ((cells, events),) = self._connection.run(
            f"SELECT count(), sum(greatest(old_clicks, new_clicks) - least(old_clicks, new_clicks)) FROM ({differing})",
            bounds,
        )
        fields = CellDifference.__struct_fields__
        listed: list[list[Any]] = []
        if int(cells) and limit:
            listed = self._connection.run(
                f"SELECT advertiser_id, campaign_id, ad_id, toUInt32(minute), device, outcome, old_clicks, new_clicks "
                f"FROM ({differing}) ORDER BY {key} LIMIT {int(limit)}",
                bounds,
            )
        found = tuple(msgspec.convert(dict(zip(fields, row, strict=True)), CellDifference) for row in listed)
        return Differences(int(cells), int(events), found)

    def publish_hours(self, hours_ms: Sequence[int]) -> list[Span]:
        """Replace the final minutes of some hours of one UTC day by the staged ones, and their quarter hours."""
        (day_ms,) = {day_of(hour_ms) for hour_ms in hours_ms}
        hours: dict[str, Parameter] = {"hours_s": [hour_ms // 1000 for hour_ms in hours_ms]}
        for start_ms in sorted({partition_of("minute", hour_ms) for hour_ms in hours_ms}):
            self._empty("minute")
            self._take("minute", start_ms, _IN_HOURS.format(time="minute"), hours, source=STAGED)
            self._take("minute", start_ms, f"NOT {_IN_HOURS.format(time='minute')}", hours)
            self._put("minute", start_ms)
        self._empty("quarter_hour")
        self._take("quarter_hour", day_ms, f"NOT {_IN_HOURS.format(time='time')}", hours)
        self._fill(
            "quarter_hour",
            "SELECT advertiser_id, ad_id, toStartOfFifteenMinutes(minute) AS time, device, outcome, campaign_id, "
            f"sum(clicks), uniqCombinedMergeState(17)(users) FROM {self._name('minute')} "
            "WHERE minute >= toDateTime({start_s:UInt32}) AND minute < toDateTime({end_s:UInt32}) "
            f"AND {_IN_HOURS.format(time='minute')} GROUP BY {_KEY.format(time='time')}",
            {**hours, "start_s": min(hours_ms) // 1000, "end_s": (max(hours_ms) + HOUR_MS) // 1000},
        )
        self._put("quarter_hour", day_ms)
        return [*self._spans("minute", hours_ms), *self._spans("quarter_hour", [day_ms])]

    def publish_day(self, day_ms: int) -> Span:
        """Replace a UTC day of the day table by what its quarter hours give."""
        return self._roll_up("quarter_hour", "day", day_ms)

    def publish_month(self, month_ms: int) -> Span:
        """Replace a UTC month of the month table by what its days give."""
        return self._roll_up("day", "month", month_ms)

    def drop_final_before(self, grain: Grain, ts_ms: int) -> None:
        """Drop whole partitions of a final table that end at or before `ts_ms`."""
        self.drop_before(grain, ts_ms)

    def drop_before(self, table: Table, ts_ms: int) -> None:
        """Drop whole partitions of a table that end at or before `ts_ms`."""
        for start_ms in sorted(self._starts(TABLES[table].name)):
            if partition_end(table, start_ms) <= ts_ms:
                self._drop(table, start_ms)
                faultpoint.reach(f"olap.{table}.dropped")

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        """Give what a final table holds of the spans that begin in a range. Reads two columns of all of them."""
        start_ms, end_ms = (span_after(grain, min(max(at_ms, 0), _END_MS)) for at_ms in (start_ms, end_ms))
        return list(self._held(grain, start_ms, end_ms).values())

    def _stage_minutes(self, source: str, parameters: dict[str, Parameter]) -> None:
        """Stage recounted minutes: rows of one cell add up. The source has the columns of FINAL_COLUMNS."""
        self._insert(
            f"{self._database}.{STAGED}",
            "minute",
            # Not uniqCombinedArrayState: for server 18.16 its states are of another type than the column's.
            "SELECT advertiser_id, ad_id, toDateTime(minute_s) AS minute, device, outcome, campaign_id, sum(clicks), "
            f"uniqCombinedMergeState(17)(arrayReduce('uniqCombinedState(17)', users)) FROM {source} "
            f"GROUP BY {_KEY.format(time='minute')}",
            parameters,
        )
        faultpoint.reach("olap.stage.filled")

    def _empty_staged(self) -> None:
        self._truncate(f"{self._database}.{STAGED}")
        faultpoint.reach("olap.stage.emptied")

    def _take(
        self, grain: Grain, start_ms: int, which: str, parameters: dict[str, Parameter], source: str | None = None
    ) -> None:
        """Stage some rows of a partition of another table of the grain, of the published one if none is named."""
        source = f"{self._database}.{source}" if source else self._name(grain)
        bounds = {**parameters, "from_s": start_ms // 1000, "to_s": partition_end(grain, start_ms) // 1000}
        within = f"{source} WHERE {between(grain)}"
        ((held, taken),) = self._connection.run(f"SELECT count(), countIf({which}) FROM {within}", bounds)
        if int(taken) and taken == held:
            # Links instead of copies.
            staging, partition = f"{self._name(grain)}_staging", partition_literal(grain, start_ms)
            self._connection.run(f"ALTER TABLE {staging} ATTACH PARTITION {partition} FROM {source}")
            faultpoint.reach(f"olap.{grain}.linked")
        elif int(taken):
            self._fill(grain, f"SELECT {columns_of(grain)} FROM {within} AND {which}", bounds)

    def _roll_up(self, source: Grain, grain: Grain, start_ms: int) -> Span:
        end_ms = span_after(grain, start_ms + 1)
        bounds: dict[str, Parameter] = {"start_s": start_ms // 1000, "end_s": end_ms // 1000}
        partition_ms = partition_of(grain, start_ms)
        self._empty(grain)
        self._take(grain, partition_ms, "time != toDateTime({start_s:UInt32})", bounds)
        self._fill(
            grain,
            "SELECT advertiser_id, ad_id, toDateTime({start_s:UInt32}) AS begin, device, outcome, campaign_id, "
            f"sum(clicks), uniqCombinedMergeState(17)(users) FROM {self._name(source)} "
            "WHERE time >= toDateTime({start_s:UInt32}) AND time < toDateTime({end_s:UInt32}) "
            f"GROUP BY {_ROLLED_UP}",
            bounds,
        )
        self._put(grain, partition_ms)
        return self._spans(grain, [start_ms])[0]

    def _empty(self, grain: Grain) -> None:
        self._truncate(f"{self._name(grain)}_staging")
        faultpoint.reach(f"olap.{grain}.emptied")

    def _truncate(self, table: str) -> None:
        """Empty a table that nobody else may be filling."""
        self._connection.run(f"TRUNCATE TABLE {table}")

    def _fill(self, grain: Grain, select: str, parameters: dict[str, Parameter]) -> None:
        self._insert(f"{self._name(grain)}_staging", grain, select, parameters)
        faultpoint.reach(f"olap.{grain}.staged")

    def _insert(self, table: str, grain: Grain, select: str, parameters: dict[str, Parameter]) -> None:
        self._connection.run(f"INSERT INTO {table} ({columns_of(grain)}) {select}", parameters)

    def _put(self, grain: Grain, start_ms: int) -> None:
        """Put the staged partition, merged to one part, in the place of the published one; none if none is staged."""
        table, partition = self._name(grain), partition_literal(grain, start_ms)
        if start_ms in self._starts(f"{TABLES[grain].name}_staging"):
            self._connection.run(f"OPTIMIZE TABLE {table}_staging PARTITION {partition} FINAL")
            faultpoint.reach(f"olap.{grain}.merged")
            self._connection.run(f"ALTER TABLE {table} REPLACE PARTITION {partition} FROM {table}_staging")
        else:
            # REPLACE PARTITION from an empty table is refused.
            self._drop(grain, start_ms)
        faultpoint.reach(f"olap.{grain}.replaced")

    def _drop(self, table: Table, start_ms: int) -> None:
        self._connection.run(f"ALTER TABLE {self._name(table)} DROP PARTITION {partition_literal(table, start_ms)}")

    def _name(self, table: Table) -> str:
        return f"{self._database}.{TABLES[table].name}"

    def _starts(self, table: str) -> set[int]:
        return partition_starts(self._connection, self._database, table)

    def _spans(self, grain: Grain, starts_ms: Sequence[int]) -> list[Span]:
        """Give what some spans hold, empty ones too, in the order in which they are asked for."""
        held = self._held(grain, min(starts_ms), span_after(grain, max(starts_ms) + 1))
        return [held.get(start_ms, Span(grain, start_ms, 0, 0)) for start_ms in starts_ms]

    def _held(self, grain: Grain, start_ms: int, end_ms: int) -> dict[int, Span]:
        """Give by start, and in its order, the spans that have rows; both bounds are starts of spans."""
        rows = self._connection.run(
            f"SELECT toUInt32({_SPAN_START[grain]}) AS start_s, count(), sum(clicks) FROM {self._name(grain)} "
            f"WHERE {between(grain)} GROUP BY start_s ORDER BY start_s",
            {"from_s": start_ms // 1000, "to_s": end_ms // 1000},
        )
        found = (Span(grain, int(start_s) * 1000, int(count), int(events)) for start_s, count, events in rows)
        return {span.start_ms: span for span in found}


def columns_of(grain: Grain) -> str:
    """Give the columns of a final table, in the order of its key."""
    return f"{_KEY.format(time=TABLES[grain].time)}, clicks, users"


def between(grain: Grain) -> str:
    """Give the condition that a row's time lies in [from_s, to_s), which are parameters."""
    time = TABLES[grain].time
    return f"{time} >= toDateTime({{from_s:UInt32}}) AND {time} < toDateTime({{to_s:UInt32}})"


def partition_starts(connection: Statements, database: str, table: str) -> set[int]:
    """Give the start of each partition of a table that has rows."""
    found = connection.run(
        "SELECT DISTINCT partition FROM system.parts WHERE database = {database:String} "
        "AND table = {table:String} AND active AND rows > 0",
        {"database": database, "table": table},
    )
    return {int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000 for (text,) in found}


def partition_literal(table: Table, start_ms: int) -> str:
    """Give a partition as SQL, for ALTER takes no parameters: the values of toMonday and toStartOfMonth are dates."""
    start = datetime.fromtimestamp(start_ms // 1000, UTC)
    return f"'{start:%Y-%m-%d}'" if table in ("day", "month") else f"'{start:%Y-%m-%d %H:%M:%S}'"
