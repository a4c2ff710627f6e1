"""An OLAP store in plain Python: what `olap/port.py` asks for, written so that one can see that it is right."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import pyarrow.parquet as pq

from adtally.errors import InvalidValueError
from adtally.olap.port import (
    EVERYONE,
    FINAL_COLUMNS,
    AggregateQuery,
    AggregateRow,
    CellDifference,
    Differences,
    Grain,
    LiveRows,
    Source,
    Span,
    Table,
)

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


class Key(NamedTuple):
    """What a cell of any table is found by; live ones have shards besides."""

    advertiser_id: str
    campaign_id: str
    ad_id: str
    time_s: int
    device: str
    outcome: str


class Cell(NamedTuple):
    """What a cell holds."""

    clicks: int
    users: frozenset[str]


Cells = dict[Key, Cell]


def start_of(unit: Literal["hour", "quarter_hour", "day", "month"], time_s: int) -> int:
    """Give the start of the hour, ..., month (UTC) of a time, in epoch seconds."""
    at = datetime.fromtimestamp(time_s, UTC).replace(second=0, microsecond=0)
    at = at.replace(minute=at.minute // 15 * 15 if unit == "quarter_hour" else 0)
    if unit in ("day", "month"):
        at = at.replace(hour=0)
    if unit == "month":
        at = at.replace(day=1)
    return int(at.timestamp())


def start_of_cell(table: Table, time_s: int) -> int:
    return time_s // 60 * 60 if table in ("live", "minute") else start_of(table, time_s)  # type: ignore[arg-type]


def start_of_span(grain: Grain, time_s: int) -> int:
    units: dict[str, Any] = {"minute": "hour", "quarter_hour": "day", "day": "day", "month": "month"}
    return start_of(units[grain], time_s)


def start_of_partition(grain: Grain, time_s: int) -> int:
    """Give the start of what retention drops as one: minutes go by six hours, and days by weeks."""
    start_s = start_of_span(grain, time_s)
    at = datetime.fromtimestamp(start_s, UTC)
    if grain == "minute":
        return int(at.replace(hour=at.hour - at.hour % 6).timestamp())
    return int((at - timedelta(days=at.weekday())).timestamp()) if grain == "day" else start_s


def added_up(cells: Iterable[tuple[Key, int, Iterable[str]]]) -> Cells:
    clicks: dict[Key, int] = defaultdict(int)
    users: dict[Key, set[str]] = defaultdict(set)
    for key, number, some in cells:
        clicks[key] += number
        users[key].update(some)
    return {key: Cell(number, frozenset(users[key])) for key, number in clicks.items()}


class MemoryOlap:
    """Implements OlapWriter, OlapReader and OlapAdmin. Keeps live rows as they came and merges when asked."""

    def __init__(self) -> None:
        self.rows: list[LiveRow] = []
        self.staged: Cells = {}
        # A table's cells are replaced whole, never changed: other threads may be reading them.
        self.final: dict[Grain, Cells] = {"minute": {}, "quarter_hour": {}, "day": {}, "month": {}}
        self.queries: list[AggregateQuery] = []

    def append_live(self, rows: LiveRows) -> None:
        columns = [getattr(rows, name) for name in LiveRow._fields]
        self.rows += [LiveRow._make((*values[:-1], tuple(values[-1]))) for values in zip(*columns, strict=True)]

    def drop_live_before(self, ts_ms: int) -> None:
        kept = [row for row in self.rows if row.minute_s * 1000 // HOUR_MS * HOUR_MS + HOUR_MS > ts_ms]
        self.rows = kept

    def stage(self, files: Sequence[str]) -> None:
        rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        columns = [[row[name] for name in FINAL_COLUMNS] for row in rows]
        self.staged = added_up((Key(*key), clicks, users) for *key, clicks, users in columns)

    def staged_differences(
        self, start_ms: int, end_ms: int, against: Literal["live", "minute"], limit: int
    ) -> Differences:
        there = dict[Key, int]()
        source = Source(against, start_ms, end_ms)
        for key, clicks, _ in self._cells(source):
            there[key] = there.get(key, 0) + clicks
        staged = {key: cell.clicks for key, cell in self.staged.items() if start_ms <= key.time_s * 1000 < end_ms}
        found = [
            CellDifference(*key, old=there.get(key, 0), new=staged.get(key, 0))
            for key in sorted({*there, *staged})
            if there.get(key, 0) != staged.get(key, 0)
        ]
        return Differences(len(found), sum(abs(one.new - one.old) for one in found), tuple(found[:limit]))

    def publish_hours(self, hours_ms: Sequence[int]) -> list[Span]:
        def in_hours(key: Key) -> bool:
            return start_of("hour", key.time_s) * 1000 in hours_ms

        minutes = {key: cell for key, cell in self.staged.items() if in_hours(key)}
        self._replace("minute", in_hours, minutes)
        self._replace("quarter_hour", in_hours, self._rolled_up(minutes, "quarter_hour"))
        (day_ms,) = {start_of("day", hour_ms // 1000) * 1000 for hour_ms in hours_ms}
        return [*(self._span("minute", hour_ms) for hour_ms in hours_ms), self._span("quarter_hour", day_ms)]

    def publish_day(self, day_ms: int) -> Span:
        return self._publish("quarter_hour", "day", day_ms)

    def publish_month(self, month_ms: int) -> Span:
        return self._publish("day", "month", month_ms)

    def drop_final_before(self, grain: Grain, ts_ms: int) -> None:
        # A partition has ended when the one that holds the time is a later one.
        current_s = start_of_partition(grain, ts_ms // 1000)
        cells = self.final[grain].items()
        self.final[grain] = {key: cell for key, cell in cells if start_of_partition(grain, key.time_s) >= current_s}

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        starts_ms = sorted({start_of_span(grain, key.time_s) * 1000 for key in self.final[grain]})
        return [self._span(grain, begin_ms) for begin_ms in starts_ms if start_ms <= begin_ms < end_ms]

    def migrate(self) -> int:
        return 1

    def ping(self) -> None:
        pass

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        self.queries.append(query)
        self._check(query)
        clicks: dict[tuple[Any, ...], int] = defaultdict(int)
        users: dict[tuple[Any, ...], set[str]] = defaultdict(set)
        for source in query.sources or (Source("live", query.edges_ms[0], query.edges_ms[-1]),):
            for key, number, some in self._cells(source):
                bucket = self._bucket(query, key)
                if bucket is not None and self._admitted(query, key):
                    group = tuple(bucket if name == "bucket" else getattr(key, name) for name in query.group_by)
                    if query.after and group <= query.after:
                        continue
                    clicks[group] += number
                    users[group].update(some)
        if not query.group_by:
            clicks[()] += 0
        counting_users = "users" in query.measures
        answer = [
            AggregateRow(group, number, len(users[group]) if counting_users else 0) for group, number in clicks.items()
        ]
        answer.sort(key=lambda row: row.group)
        if query.order != "group":
            measure = query.order
            answer.sort(key=lambda row: getattr(row, measure), reverse=True)
        whole = AggregateRow((), sum(clicks.values()), len(set().union(*users.values())) if counting_users else 0)
        return [*answer[: query.limit], *([whole] if query.totals else [])]

    def _cells(self, source: Source) -> Iterator[tuple[Key, int, frozenset[str]]]:
        """Give the cells of a source; of live minutes, one for each shard."""
        if source.table == "live":
            totals: dict[tuple[Key, str], Cell] = {}
            # A copy: other threads may append meanwhile.
            for row in list(self.rows):
                known = (Key(*row[:6]), row.shard)
                so_far = totals.get(known, Cell(0, frozenset()))
                # A cell's count is the greatest running total that any append brought; shards then add up.
                totals[known] = Cell(max(so_far.clicks, row.clicks), so_far.users | set(row.users))
            cells = [(key, cell) for (key, _), cell in totals.items()]
        else:
            cells = list(self.final[source.table].items())
        for key, cell in cells:
            if source.start_ms <= key.time_s * 1000 < source.end_ms:
                yield key, cell.clicks, cell.users

    def _replace(self, grain: Grain, gone: Callable[[Key], bool], cells: Cells) -> None:
        self.final[grain] = {key: cell for key, cell in self.final[grain].items() if not gone(key)} | cells

    def _rolled_up(self, cells: Cells, grain: Grain) -> Cells:
        return added_up(
            (key._replace(time_s=start_of_cell(grain, key.time_s)), cell.clicks, cell.users)
            for key, cell in cells.items()
        )

    def _publish(self, source: Grain, grain: Grain, start_ms: int) -> Span:
        def inside(key: Key) -> bool:
            return start_of_cell(grain, key.time_s) * 1000 == start_ms

        below = {key: cell for key, cell in self.final[source].items() if inside(key)}
        self._replace(grain, inside, self._rolled_up(below, grain))
        return self._span(grain, start_ms)

    def _span(self, grain: Grain, start_ms: int) -> Span:
        inside = [
            cell for key, cell in self.final[grain].items() if start_of_span(grain, key.time_s) * 1000 == start_ms
        ]
        return Span(grain, start_ms, len(inside), sum(cell.clicks for cell in inside))

    @staticmethod
    def _check(query: AggregateQuery) -> None:
        if query.tenant is not EVERYONE and not (isinstance(query.tenant, str) and query.tenant):
            raise InvalidValueError("tenant", "a query needs an advertiser's id or EVERYONE")
        if len(query.edges_ms) < 2 or any(a >= b for a, b in pairwise(query.edges_ms)):
            raise InvalidValueError("edges_ms", "bucket edges must ascend, and be two at least")
        if query.order == "users" and "users" not in query.measures:
            raise InvalidValueError("order", "users must be among the measures to order by them")
        if query.after and ("bucket" in query.group_by or len(query.after) != len(query.group_by)):
            raise InvalidValueError("after", "does not fit the groups")
        if query.totals and not query.group_by:
            raise InvalidValueError("totals", "of no groups")
        at_ms = query.edges_ms[0]
        for index, source in enumerate(query.sources):
            whole = [source.start_ms, source.end_ms]
            whole += [edge for edge in query.edges_ms if source.start_ms < edge < source.end_ms]
            cells_s = [-(-ms // 60_000) * 60 for ms in whole]
            apart = source.start_ms != at_ms if index else -(-source.start_ms // 60_000) != -(-at_ms // 60_000)
            if apart or source.start_ms >= source.end_ms or any(s != start_of_cell(source.table, s) for s in cells_s):
                raise InvalidValueError("sources", f"{source} does not fit")
            at_ms = source.end_ms
        if query.sources and -(-at_ms // 60_000) != -(-query.edges_ms[-1] // 60_000):
            raise InvalidValueError("sources", "do not reach the end")

    @staticmethod
    def _bucket(query: AggregateQuery, key: Key) -> int | None:
        for index, (begin_ms, end_ms) in enumerate(pairwise(query.edges_ms)):
            if begin_ms <= key.time_s * 1000 < end_ms:
                return index
        return None

    @staticmethod
    def _admitted(query: AggregateQuery, key: Key) -> bool:
        filters: list[tuple[Sequence[str], str]] = [
            (query.ad_ids, key.ad_id),
            (query.campaign_ids, key.campaign_id),
            (query.devices, key.device),
            (query.outcomes, key.outcome),
        ]
        if query.tenant is not EVERYONE and key.advertiser_id != query.tenant:
            return False
        return all(not admitted or value in admitted for admitted, value in filters)
