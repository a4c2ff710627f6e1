"""The final tables: recounted minutes are staged, compared and published, and their rollups follow from them.

What is published is always one merged part that takes the place of a partition. Each publishing first fills a staging
table anew, so whatever a killed one left behind is gone. All this is SQL that every engine of ClickHouse's family runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import msgspec

from adtally import faultpoint
from adtally.olap.cells import partition_end
from adtally.olap.clickhouse_sql import TABLES, Parameter
from adtally.olap.port import CellDifference, Differences, Grain, Span, Table
from adtally.utc import HOUR_MS, day_of

_KEY: Final = "advertiser_id, ad_id, {time}, device, outcome, campaign_id"
_ROLLED_UP: Final = "advertiser_id, ad_id, device, outcome, campaign_id"


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
        final = f"{self._database}.{TABLES['minute'].name}"
        there = {
            "live": f"SELECT {key}, maxMerge(clicks) AS old, toUInt64(0) AS new FROM {self._database}.minute_live "
            f"WHERE {within} GROUP BY {key}, shard",
            "minute": f"SELECT {key}, clicks AS old, toUInt64(0) AS new FROM {final} WHERE {within}",
        }[against]
        # The names inside differ from those outside: old servers take an alias for the column of its name.
        differing = (
            f"SELECT {key}, sum(old) AS old_clicks, sum(new) AS new_clicks FROM ({there} UNION ALL "
            f"SELECT {key}, toUInt64(0) AS old, clicks AS new FROM {final}_staging WHERE {within}) "
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
        staged = self._starts(f"{TABLES['minute'].name}_staging")
        for hour_ms in hours_ms:
            self._put("minute", hour_ms, hour_ms in staged)
        self._empty("quarter_hour")
        bounds: dict[str, Parameter] = {
            "day_start_s": day_ms // 1000,
            "day_end_s": partition_end("quarter_hour", day_ms) // 1000,
            "hours_s": [hour_ms // 1000 for hour_ms in hours_ms],
            "start_s": min(hours_ms) // 1000,
            "end_s": (max(hours_ms) + HOUR_MS) // 1000,
        }
        self._stage_other_quarters(day_ms, bounds)
        self._fill(
            "quarter_hour",
            "SELECT advertiser_id, ad_id, toStartOfFifteenMinutes(minute) AS time, device, outcome, campaign_id, "
            f"sum(clicks), uniqCombinedMergeState(17)(users) FROM {self._database}.minute_final "
            "WHERE minute >= toDateTime({start_s:UInt32}) AND minute < toDateTime({end_s:UInt32}) "
            "AND has({hours_s:Array(UInt32)}, toUInt32(toStartOfHour(minute))) "
            f"GROUP BY {_KEY.format(time='time')}",
            bounds,
        )
        self._put("quarter_hour", day_ms, self._is_staged("quarter_hour", day_ms))
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
        name = TABLES[table].name
        for _, start_ms in self._partitions(name):
            if partition_end(table, start_ms) <= ts_ms:
                self._drop(table, start_ms)
                faultpoint.reach(f"olap.{table}.dropped")

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        """Give what a final table's partitions that begin in a range hold. Reads one column of them."""
        starts_ms = sorted(self._starts(TABLES[grain].name))
        return self._spans(grain, [begin_ms for begin_ms in starts_ms if start_ms <= begin_ms < end_ms])

    def _stage_minutes(self, source: str, parameters: dict[str, Parameter]) -> None:
        """Stage recounted minutes: rows of one cell add up. The source has the columns of FINAL_COLUMNS."""
        self._fill(
            "minute",
            # Not uniqCombinedArrayState: for server 18.16 its states are of another type than the column's.
            "SELECT advertiser_id, ad_id, toDateTime(minute_s) AS minute, device, outcome, campaign_id, sum(clicks), "
            f"uniqCombinedMergeState(17)(arrayReduce('uniqCombinedState(17)', users)) FROM {source} "
            f"GROUP BY {_KEY.format(time='minute')}",
            parameters,
        )

    def _stage_other_quarters(self, day_ms: int, bounds: dict[str, Parameter]) -> None:
        """Stage what the day holds outside the hours."""
        table = f"{self._database}.{TABLES['quarter_hour'].name}"
        in_day = "time >= toDateTime({day_start_s:UInt32}) AND time < toDateTime({day_end_s:UInt32})"
        in_hours = "has({hours_s:Array(UInt32)}, toUInt32(toStartOfHour(time)))"
        ((replaced,),) = self._connection.run(f"SELECT count() FROM {table} WHERE {in_day} AND {in_hours}", bounds)
        if int(replaced):
            self._fill(
                "quarter_hour",
                f"SELECT {_KEY.format(time='time')}, clicks, users FROM {table} WHERE {in_day} AND NOT {in_hours}",
                bounds,
            )
        elif self._spans("quarter_hour", [day_ms])[0].rows:
            # The hours' first publishing: links instead of copies of the day's other hours.
            partition = _literal("quarter_hour", day_ms)
            self._connection.run(f"ALTER TABLE {table}_staging ATTACH PARTITION {partition} FROM {table}")
            faultpoint.reach("olap.quarter_hour.linked")

    def _roll_up(self, source: Grain, grain: Grain, start_ms: int) -> Span:
        self._empty(grain)
        self._fill(
            grain,
            "SELECT advertiser_id, ad_id, toDateTime({start_s:UInt32}) AS begin, device, outcome, campaign_id, "
            f"sum(clicks), uniqCombinedMergeState(17)(users) FROM {self._database}.{TABLES[source].name} "
            "WHERE time >= toDateTime({start_s:UInt32}) AND time < toDateTime({end_s:UInt32}) "
            f"GROUP BY {_ROLLED_UP}",
            {"start_s": start_ms // 1000, "end_s": partition_end(grain, start_ms) // 1000},
        )
        self._put(grain, start_ms, self._is_staged(grain, start_ms))
        return self._spans(grain, [start_ms])[0]

    def _empty(self, grain: Grain) -> None:
        self._connection.run(f"TRUNCATE TABLE {self._database}.{TABLES[grain].name}_staging")
        faultpoint.reach(f"olap.{grain}.emptied")

    def _fill(self, grain: Grain, select: str, parameters: dict[str, Parameter]) -> None:
        table = TABLES[grain]
        columns = f"{_KEY.format(time=table.time)}, clicks, users"
        self._connection.run(f"INSERT INTO {self._database}.{table.name}_staging ({columns}) {select}", parameters)
        faultpoint.reach(f"olap.{grain}.staged")

    def _put(self, grain: Grain, start_ms: int, staged: bool) -> None:
        """Put the staged partition, merged to one part, in the place of the published one; none if none is staged."""
        table, staging, partition = TABLES[grain].name, f"{TABLES[grain].name}_staging", _literal(grain, start_ms)
        if staged:
            self._connection.run(f"OPTIMIZE TABLE {self._database}.{staging} PARTITION {partition} FINAL")
            faultpoint.reach(f"olap.{grain}.merged")
            self._connection.run(
                f"ALTER TABLE {self._database}.{table} REPLACE PARTITION {partition} FROM {self._database}.{staging}"
            )
        else:
            # REPLACE PARTITION from an empty table is refused.
            self._drop(grain, start_ms)
        faultpoint.reach(f"olap.{grain}.replaced")

    def _drop(self, table: Table, start_ms: int) -> None:
        self._connection.run(
            f"ALTER TABLE {self._database}.{TABLES[table].name} DROP PARTITION {_literal(table, start_ms)}"
        )

    def _is_staged(self, grain: Grain, start_ms: int) -> bool:
        return start_ms in self._starts(f"{TABLES[grain].name}_staging")

    def _starts(self, table: str) -> set[int]:
        return {start_ms for _, start_ms in self._partitions(table)}

    def _spans(self, grain: Grain, starts_ms: Sequence[int]) -> list[Span]:
        """Give what some partitions hold, in the order in which they are asked for."""
        table = TABLES[grain].name
        ids = {start_ms: partition_id for partition_id, start_ms in self._partitions(table) if start_ms in starts_ms}
        held: dict[str, tuple[int, int]] = {}
        if ids:
            # By the partitions, not by time, whose column is then not read.
            names = [f"{{id_{index}:String}}" for index in range(len(ids))]
            rows = self._connection.run(
                f"SELECT _partition_id, count(), sum(clicks) FROM {self._database}.{table} "
                f"WHERE _partition_id IN ({', '.join(names)}) GROUP BY _partition_id",
                {f"id_{index}": partition_id for index, partition_id in enumerate(ids.values())},
            )
            held = {partition_id: (int(count), int(events)) for partition_id, count, events in rows}
        return [Span(grain, start_ms, *held.get(ids.get(start_ms, ""), (0, 0))) for start_ms in starts_ms]

    def _partitions(self, table: str) -> Iterator[tuple[str, int]]:
        """Give the id and the start of each partition that has rows."""
        found = self._connection.run(
            "SELECT DISTINCT partition_id, partition FROM system.parts WHERE database = {database:String} "
            "AND table = {table:String} AND active AND rows > 0",
            {"database": self._database, "table": table},
        )
        for partition_id, text in found:
            yield partition_id, int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def _literal(table: Table, start_ms: int) -> str:
    """Give a partition as SQL, for ALTER takes no parameters: the value of toStartOfMonth is a date."""
    start = datetime.fromtimestamp(start_ms // 1000, UTC)
    return f"'{start:%Y-%m-%d}'" if table == "month" else f"'{start:%Y-%m-%d %H:%M:%S}'"
