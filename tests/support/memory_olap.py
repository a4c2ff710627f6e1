"""An OLAP store in plain Python: what `olap/port.py` asks for, written so that one can see that it is right."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from adtally.errors import InvalidValueError
from adtally.olap.port import (
    EVERYONE,
    AggregateQuery,
    AggregateRow,
    FinalRows,
    Grain,
    LiveRows,
    Source,
    Span,
    Table,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
QUARTER_HOUR_MS = HOUR_MS // 4


class LiveRow(NamedTuple):
    """One appended row of the live table."""

    advertiser_id: str
    campaign_id: str
    ad_id: str
    minute_s: int
    device: str
    outcome: str
    shard: str
    clicks: int
    users: tuple[str, ...]


class MemoryOlap:
    """Implements OlapWriter, OlapReader and OlapAdmin. Keeps live rows as they came and merges when asked."""

    def __init__(self) -> None:
        self.rows: list[LiveRow] = []
        self.final_hours: dict[int, FinalRows] = {}
        self.staged: list[LiveRow] = []
        self.final: dict[Table, dict[int, list[LiveRow]]] = defaultdict(dict)
        """Rows of the final tables by partition; a row's `shard` is its table."""
        self.queries: list[AggregateQuery] = []

    def append_live(self, rows: LiveRows) -> None:
        columns = [getattr(rows, name) for name in LiveRow._fields]
        self.rows += [LiveRow._make((*values[:-1], tuple(values[-1]))) for values in zip(*columns, strict=True)]

    def drop_live_before(self, ts_ms: int) -> None:
        kept = [row for row in self.rows if row.minute_s * 1000 // HOUR_MS * HOUR_MS + HOUR_MS > ts_ms]
        self.rows = kept

    def replace_final_hour(self, hour_ms: int, rows: FinalRows) -> None:
        self.final_hours[hour_ms] = rows

    def stage(self, files: Sequence[str]) -> None:
        self.staged = []
        for file in files:
            for row in pq.read_table(file).to_pylist():
                users = tuple(row.pop("users"))
                self.staged.append(LiveRow(**row, shard="minute", users=users))

    def publish_hour(self, hour_ms: int) -> list[Span]:
        day_ms = hour_ms // DAY_MS * DAY_MS
        new = [row for row in self.staged if _hour(row) == hour_ms]
        kept = [row for row in self.final["quarter_hour"].get(day_ms, []) if _hour(row) != hour_ms]
        self.final["minute"][hour_ms] = _rolled_up(new, "minute", lambda at_ms: at_ms)
        self.final["quarter_hour"][day_ms] = _rolled_up(
            [*kept, *new], "quarter_hour", lambda at_ms: at_ms // QUARTER_HOUR_MS * QUARTER_HOUR_MS
        )
        return [self._span("minute", hour_ms), self._span("quarter_hour", day_ms)]

    def publish_day(self, day_ms: int) -> Span:
        self.final["day"][day_ms] = _rolled_up(self.final["quarter_hour"].get(day_ms, []), "day", lambda _: day_ms)
        return self._span("day", day_ms)

    def publish_month(self, month_ms: int) -> Span:
        days = [row for rows in self.final["day"].values() for row in rows if month_of(row.minute_s * 1000) == month_ms]
        self.final["month"][month_ms] = _rolled_up(days, "month", lambda _: month_ms)
        return self._span("month", month_ms)

    def _span(self, grain: Grain, start_ms: int) -> Span:
        rows = self.final[grain][start_ms]
        return Span(grain, start_ms, len(rows), sum(row.clicks for row in rows))

    def _rows_of(self, query: AggregateQuery) -> Iterator[LiveRow]:
        for source in query.sources or (Source("live", query.edges_ms[0], query.edges_ms[-1]),):
            # A copy: other threads may append meanwhile.
            partitions = [list(self.rows)] if source.table == "live" else list(self.final[source.table].values())
            for row in (row for rows in partitions for row in rows):
                if source.start_ms <= row.minute_s * 1000 < source.end_ms:
                    yield row

    def migrate(self) -> int:
        return 1

    def ping(self) -> None:
        pass

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        self.queries.append(query)
        self._check(query)
        clicks: dict[tuple[Any, ...], dict[LiveRow, int]] = defaultdict(dict)
        users: dict[tuple[Any, ...], set[str]] = defaultdict(set)
        for row in self._rows_of(query):
            bucket = self._bucket(query, row)
            if bucket is None or not self._admitted(query, row):
                continue
            group = tuple(bucket if name == "bucket" else getattr(row, name) for name in query.group_by)
            cell = row._replace(clicks=0, users=())
            # A cell's count is the greatest running total that any append brought; cells (and shards) then add up.
            clicks[group][cell] = max(clicks[group].get(cell, 0), row.clicks)
            users[group].update(row.users)
        if not query.group_by:
            clicks.setdefault((), {})
        counting_users = "users" in query.measures
        answer = [
            AggregateRow(group, sum(cells.values()), len(users[group]) if counting_users else 0)
            for group, cells in clicks.items()
        ]
        answer.sort(key=lambda row: row.group)
        if query.order != "group":
            measure = query.order
            answer.sort(key=lambda row: getattr(row, measure), reverse=True)
        return answer[: query.limit]

    @staticmethod
    def _check(query: AggregateQuery) -> None:
        if query.tenant is not EVERYONE and not (isinstance(query.tenant, str) and query.tenant):
            raise InvalidValueError("tenant", "a query needs an advertiser's id or EVERYONE")
        if len(query.edges_ms) < 2 or any(a >= b for a, b in pairwise(query.edges_ms)):
            raise InvalidValueError("edges_ms", "bucket edges must ascend, and be two at least")
        if query.order == "users" and "users" not in query.measures:
            raise InvalidValueError("order", "users must be among the measures to order by them")

    @staticmethod
    def _bucket(query: AggregateQuery, row: LiveRow) -> int | None:
        for index, (begin_ms, end_ms) in enumerate(pairwise(query.edges_ms)):
            if begin_ms <= row.minute_s * 1000 < end_ms:
                return index
        return None

    @staticmethod
    def _admitted(query: AggregateQuery, row: LiveRow) -> bool:
        filters: list[tuple[Sequence[str], str]] = [
            (query.ad_ids, row.ad_id),
            (query.campaign_ids, row.campaign_id),
            (query.devices, row.device),
            (query.outcomes, row.outcome),
        ]
        if query.tenant is not EVERYONE and row.advertiser_id != query.tenant:
            return False
        return all(not admitted or value in admitted for admitted, value in filters)


def month_of(ts_ms: int) -> int:
    start = datetime.fromtimestamp(ts_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return round(start.timestamp() * 1000)


def _hour(row: LiveRow) -> int:
    return row.minute_s * 1000 // HOUR_MS * HOUR_MS


def _rolled_up(rows: Sequence[LiveRow], table: str, cell_of: Callable[[int], int]) -> list[LiveRow]:
    """Give one row for each cell: counts add up, users are united."""
    cells: dict[LiveRow, LiveRow] = {}
    for row in rows:
        key = row._replace(minute_s=cell_of(row.minute_s * 1000) // 1000, shard=table, clicks=0, users=())
        before = cells.get(key, key)
        users = tuple(sorted({*before.users, *row.users}))
        cells[key] = key._replace(clicks=before.clicks + row.clicks, users=users)
    return list(cells.values())
