"""Compiles queries to SQL for the ClickHouse family. Values become parameters; identifiers come from enums alone."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Final, get_args

import msgspec

from adtally.errors import InvalidValueError
from adtally.olap.cells import MINUTE_MS, begins_cell
from adtally.olap.port import EVERYONE, AggregateQuery, AggregateRow, Dimension, Source, Table

DATABASE: Final = "adtally"

LIVE_INPUT: Final = "minute_live_rows"
LIVE_COLUMNS: Final = (
    "advertiser_id",
    "campaign_id",
    "ad_id",
    "minute",
    "device",
    "outcome",
    "shard",
    "clicks",
    "users",
)
"""Of the table that live rows go into, in the order of the fields of LiveRows."""

_COLUMNS: Final[Mapping[Dimension, str]] = {name: name for name in get_args(Dimension)}
_NARROWED_MAX: Final = 10_000
"""Groups that a statement finds first, to read only these."""

_NEVER_S: Final = (1 << 32) - 1
"""Behind every minute."""

_LIVE_KEY: Final = "advertiser_id, ad_id, minute, device, outcome, campaign_id, shard"

Parameter = str | int | list[int]


class TableName(msgspec.Struct, frozen=True):
    """How a table and the column of its time are called."""

    name: str
    time: str


TABLES: Final[Mapping[Table, TableName]] = {
    "live": TableName("minute_live", "minute"),
    "minute": TableName("minute_final_6h", "minute"),
    "quarter_hour": TableName("quarter_hour_final", "time"),
    "day": TableName("day_final_week", "time"),
    "month": TableName("month_final", "time"),
}


class Statement(msgspec.Struct, frozen=True):
    """A statement and the values of its `{name:Type}` parameters."""

    sql: str
    parameters: dict[str, Parameter]


def compile_query(query: AggregateQuery, database: str = DATABASE) -> Statement:
    """Give the statement that answers `query` from the tables of a database.

    Its rows are the group's values, then clicks and, where asked for, users; totals are the engine's own. Raises
    InvalidValueError for a query that the port refuses: the predicate that keeps tenants apart is added here and
    nowhere else.
    """
    _check(query)
    parameters: dict[str, Parameter] = {}
    where = _where(query, parameters)
    if _is_narrowed(query):
        # First who is to be told about, by clicks alone: all groups' users are many times what these need.
        first = _select(msgspec.structs.replace(query, measures=("clicks",)), database, where, parameters, ranking=True)
        where = [*where, f"({', '.join(_COLUMNS[name] for name in query.group_by)}) GLOBAL IN ({first})"]
    return Statement(_select(query, database, where, parameters), parameters)


def _select(
    query: AggregateQuery,
    database: str,
    where: list[str],
    parameters: dict[str, Parameter],
    *,
    ranking: bool = False,
) -> str:
    """Give the statement's text; a `ranking` gives the groups alone."""
    group = [_COLUMNS[dimension] for dimension in query.group_by]
    source = _one_final_table(query, database, where, parameters) or _cells(query, database, where, parameters)
    measures = {"clicks": f"sum({source.clicks})", "users": f"uniqCombinedMerge(17)({source.users})"}
    selected = list(source.group)
    if not ranking:
        selected += [
            f"{measures[name]} AS {name}" for name in ("clicks", "users") if name in ("clicks", *query.measures)
        ]
    sql = f"SELECT {', '.join(selected)} FROM {source.sql}"
    if group:
        sql += f" GROUP BY {', '.join(group)}{' WITH TOTALS' if query.totals else ''}"
    order = ([] if query.order == "group" else [f"{measures[query.order] if ranking else query.order} DESC"]) + group
    if order:
        sql += f" ORDER BY {', '.join(order)}"
    return f"{sql} LIMIT {int(query.limit)}"


def is_small(query: AggregateQuery) -> bool:
    """Tell whether a question reads next to nothing, so that how it is planned is most of what it costs."""
    return bool(query.ad_ids) and not query.after


def _is_narrowed(query: AggregateQuery) -> bool:
    """Tell whether few of probably many groups are asked for, so that finding these first is worth reading twice."""
    return (
        query.order == "clicks"
        and "users" in query.measures
        and "ad_id" in query.group_by
        and "bucket" not in query.group_by
        and query.limit <= _NARROWED_MAX
        and not (query.totals or query.ad_ids)
    )


def answer_rows(query: AggregateQuery, rows: Iterable[list[Any]]) -> list[AggregateRow]:
    """Give the answer that a statement's rows are, totals the last of them; numbers of 64 bits may come as texts."""
    width = len(query.group_by)
    users = "users" in query.measures
    buckets = [dimension == "bucket" for dimension in query.group_by]
    rows, answer = list(rows), []
    whole: list[Any] | None = None
    if query.totals:
        whole = rows.pop()[width:] if rows else [0, 0]
    for row in rows:
        group = tuple(int(v) if is_bucket else v for v, is_bucket in zip(row[:width], buckets, strict=True))
        answer.append(AggregateRow(group, int(row[width]), int(row[width + 1]) if users else 0))
    if whole is not None:
        answer.append(AggregateRow((), int(whole[0]), int(whole[1]) if users else 0))
    return answer


class _Cells(msgspec.Struct, frozen=True):
    """What is read, and by which expressions the groups and measures are found in it."""

    sql: str
    group: list[str]
    clicks: str
    users: str


def _one_final_table(
    query: AggregateQuery, database: str, where: list[str], parameters: dict[str, Parameter]
) -> _Cells | None:
    """Give one final table itself, where it alone answers and arithmetic finds the bucket: nothing stands between."""
    width_s = _even_width(query)
    if len(query.sources) != 1 or query.sources[0].table == "live" or ("bucket" in query.group_by and not width_s):
        return None
    (source,) = query.sources
    group = [
        f"{_even_bucket(TABLES[source.table].time, query, width_s, parameters)} AS bucket"
        if dimension == "bucket"
        else _COLUMNS[dimension]
        for dimension in query.group_by
    ]
    read = "PREWHERE" if is_small(query) else "WHERE"
    return _Cells(_table(source, database, 0, where, parameters, read), group, "clicks", "users")


def _cells(query: AggregateQuery, database: str, where: list[str], parameters: dict[str, Parameter]) -> _Cells:
    """Give the cells of all sources, each with its bucket where the query asks for it."""
    sources = query.sources or (Source("live", query.edges_ms[0], query.edges_ms[-1]),)
    group = [_COLUMNS[dimension] for dimension in query.group_by]
    branches = []
    for index, source in enumerate(sources):
        columns = [TABLES[source.table].time + " AS time" if name == "bucket" else name for name in group]
        live = source.table == "live"
        columns.append("maxMerge(clicks) AS cell_clicks" if live else "clicks AS cell_clicks")
        if "users" in query.measures:
            columns.append(f"{'uniqCombinedMergeState(17)(users)' if live else 'users'} AS cell_users")
        table = _table(source, database, index, where, parameters)
        branches.append(f"SELECT {', '.join(columns)} FROM {table}{f' GROUP BY {_LIVE_KEY}' if live else ''}")
    found = f"({' UNION ALL '.join(branches)})"
    return _Cells(
        _with_bucket(found, query, parameters) if "bucket" in group else found, group, "cell_clicks", "cell_users"
    )


def _table(
    source: Source, database: str, index: int, where: list[str], parameters: dict[str, Parameter], read: str = "WHERE"
) -> str:
    """Give a source's table and the rows of it that are read."""
    table = TABLES[source.table]
    # A cell belongs to the range that holds its start.
    parameters[f"from_{index}_s"] = _seconds(source.start_ms)
    parameters[f"to_{index}_s"] = _seconds(source.end_ms)
    within = [
        f"{table.time} >= toDateTime({{from_{index}_s:UInt32}})",
        f"{table.time} < toDateTime({{to_{index}_s:UInt32}})",
    ]
    return f"{database}.{table.name} {read} {' AND '.join([*within, *where])}"


def _where(query: AggregateQuery, parameters: dict[str, Parameter]) -> list[str]:
    """Give what holds in every source: the tenant, and the filters."""
    where = _tenant(query, parameters)
    for column, values in (
        ("ad_id", query.ad_ids),
        ("campaign_id", query.campaign_ids),
        ("device", query.devices),
        ("outcome", query.outcomes),
    ):
        if values:
            names = [_bind(parameters, f"{column}_{index}", value) for index, value in enumerate(values)]
            where.append(f"{column} IN ({', '.join(names)})")
    if query.after:
        columns = ", ".join(_COLUMNS[dimension] for dimension in query.group_by)
        bound = ", ".join(_bind(parameters, f"after_{index}", value) for index, value in enumerate(query.after))
        where.append(f"tuple({columns}) > tuple({bound})")
    return where


def _bind(parameters: dict[str, Parameter], name: str, value: str) -> str:
    parameters[name] = value
    return f"{{{name}:String}}"


def _tenant(query: AggregateQuery, parameters: dict[str, Parameter]) -> list[str]:
    if query.tenant is EVERYONE:
        return []
    if not isinstance(query.tenant, str) or not query.tenant:
        raise InvalidValueError("tenant", "a query needs an advertiser's id or EVERYONE")
    return [f"advertiser_id = {_bind(parameters, 'tenant', query.tenant)}"]


def _check(query: AggregateQuery) -> None:
    if query.order == "users" and "users" not in query.measures:
        raise InvalidValueError("order", "users must be among the measures to order by them")
    if query.after and ("bucket" in query.group_by or len(query.after) != len(query.group_by)):
        raise InvalidValueError("after", "needs a value for each of group_by, and no buckets")
    if query.totals and not query.group_by:
        raise InvalidValueError("totals", "are those of groups: name some")
    edges_ms = query.edges_ms
    if len(edges_ms) < 2 or any(a >= b for a, b in pairwise(edges_ms)):
        raise InvalidValueError("edges_ms", "bucket edges must ascend, and be two at least")
    sources = query.sources
    if not sources:
        return
    if any(source.start_ms >= source.end_ms for source in sources):
        raise InvalidValueError("sources", "each must end after its start")
    if any(a.end_ms != b.start_ms for a, b in pairwise(sources)):
        raise InvalidValueError("sources", "each must begin where the one before it ends")
    first_ms, last_ms = _whole_minute(sources[0].start_ms), _whole_minute(sources[-1].end_ms)
    if (first_ms, last_ms) != (_whole_minute(edges_ms[0]), _whole_minute(edges_ms[-1])):
        raise InvalidValueError("sources", f"cover {first_ms} to {last_ms}, not {edges_ms[0]} to {edges_ms[-1]}")
    for source in sources:
        inside_ms = edges_ms[bisect_right(edges_ms, source.start_ms) : bisect_left(edges_ms, source.end_ms)]
        for at_ms in (source.start_ms, *inside_ms, source.end_ms):
            if not begins_cell(source.table, _whole_minute(at_ms)):
                raise InvalidValueError("sources", f"at {at_ms} no cell of the table {source.table} begins")


def _whole_minute(ms: int) -> int:
    """Give the first minute that begins at `ms` or later: no cell begins between."""
    return -(-ms // MINUTE_MS) * MINUTE_MS


def _seconds(ms: int) -> int:
    return -(-ms // 1000)


def _even_width(query: AggregateQuery) -> int | None:
    """Give the width in seconds that all buckets have, None if they differ."""
    widths = {_seconds(b) - _seconds(a) for a, b in pairwise(query.edges_ms)}
    return widths.pop() if len(widths) == 1 else None


def _even_bucket(time: str, query: AggregateQuery, width_s: int | None, parameters: dict[str, Parameter]) -> str:
    parameters["start_s"] = _seconds(query.edges_ms[0])
    parameters["width_s"] = width_s or 1
    return f"intDiv(toUInt32({time}) - {{start_s:UInt32}}, {{width_s:UInt32}})"


def _with_bucket(cells: str, query: AggregateQuery, parameters: dict[str, Parameter]) -> str:
    """Give the cells with the index of their bucket as one more column."""
    width_s = _even_width(query)
    if width_s is not None:
        return f"(SELECT *, {_even_bucket('time', query, width_s, parameters)} AS bucket FROM {cells})"
    # A binary search, a halving of the edges in each subquery: 5,000 edges over a million cells take 0.1 s, and took
    # 35 s with arrayCount. Server 18.16 has no roundDown.
    edges_s = [_seconds(edge) for edge in query.edges_ms]
    reach = 1 << (len(edges_s) - 1).bit_length()
    parameters["edges_s"] = edges_s + [_NEVER_S] * (reach - len(edges_s))
    searched, step = f"(SELECT *, {{edges_s:Array(UInt32)}} AS edges_s, toUInt32(0) AS place_0 FROM {cells})", 0
    while (reach := reach // 2) >= 1:
        found = f"place_{step} + {reach} * (toUInt32(time) >= arrayElement(edges_s, place_{step} + {reach + 1}))"
        step += 1
        searched = f"(SELECT *, toUInt32({found}) AS place_{step} FROM {searched})"
    return f"(SELECT *, place_{step} AS bucket FROM {searched})"
