"""An OLAP store in plain Python: what `olap/port.py` asks for, written so that one can see that it is right."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from adtally.errors import InvalidValueError
from adtally.olap.port import EVERYONE, AggregateQuery, AggregateRow, FinalRows, LiveRows

HOUR_MS = 3_600_000


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
        self.queries: list[AggregateQuery] = []

    def append_live(self, rows: LiveRows) -> None:
        columns = [getattr(rows, name) for name in LiveRow._fields]
        self.rows += [LiveRow._make((*values[:-1], tuple(values[-1]))) for values in zip(*columns, strict=True)]

    def drop_live_before(self, ts_ms: int) -> None:
        kept = [row for row in self.rows if row.minute_s * 1000 // HOUR_MS * HOUR_MS + HOUR_MS > ts_ms]
        self.rows = kept

    def replace_final_hour(self, hour_ms: int, rows: FinalRows) -> None:
        self.final_hours[hour_ms] = rows

    def migrate(self) -> int:
        return 1

    def ping(self) -> None:
        pass

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        self.queries.append(query)
        self._check(query)
        clicks: dict[tuple[Any, ...], dict[LiveRow, int]] = defaultdict(dict)
        users: dict[tuple[Any, ...], set[str]] = defaultdict(set)
        # A copy: other threads may append meanwhile.
        for row in list(self.rows):
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
