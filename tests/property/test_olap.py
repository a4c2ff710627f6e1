"""Whatever is appended and asked, chDB and ClickHouse servers answer as the store in plain Python does."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import pytest
from deploy.local.clickhouse import ClickHouse
from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.olap.clickhouse_sql import TABLES
from adtally.olap.port import EVERYONE, AggregateQuery, Dimension, Grain, Source, Table
from support.memory_olap import MemoryOlap
from support.olap_stores import HOUR_MS, MINUTE_S, NOON_S, Live, chdb, clickhouse_stored, live, recounted

MINUTES = 150
ID = st.sampled_from(["a", "b", "B", "a'", "\\", "é", "{tenant:String}"])

rows = st.builds(
    Live,
    clicks=st.integers(0, 1_000) | st.just(2**53 + 1),
    users=st.lists(st.integers(0, 200).map(str), max_size=20),
    ad_id=ID,
    minute_s=st.integers(0, MINUTES).map(lambda n: NOON_S + n * MINUTE_S),
    advertiser_id=st.sampled_from(["acme", "zeta", "'"]),
    campaign_id=st.just("") | ID,
    device=st.sampled_from(["mobile", "desktop"]),
    outcome=st.sampled_from(["counted", "duplicate", "bot"]),
    shard=st.sampled_from(["0", "1"]),
)
# Of two shards, zeta lies on another one than acme.
appends = st.lists(st.lists(rows, max_size=12), max_size=4)


def edges() -> st.SearchStrategy[tuple[int, ...]]:
    """Whole minutes in even steps, and any milliseconds at all."""
    start_ms, end_ms = (NOON_S - MINUTE_S) * 1000, (NOON_S + (MINUTES + 2) * MINUTE_S) * 1000
    even = st.builds(
        lambda first, width, count: tuple(first + n * width for n in range(count + 1)),
        st.integers(start_ms // 60_000, end_ms // 60_000).map(lambda minute: minute * 60_000),
        st.integers(1, 30).map(lambda minutes: minutes * 60_000),
        st.integers(1, 40),
    )
    any_at_all = st.sets(st.integers(start_ms, end_ms), min_size=2, max_size=40).map(lambda found: tuple(sorted(found)))
    return even | any_at_all


@st.composite
def queries(draw: st.DrawFn) -> AggregateQuery:
    measures: Any = draw(st.sampled_from([("clicks",), ("clicks", "users")]))
    group_by: Any = draw(st.lists(st.sampled_from(get_args(Dimension)), unique=True).map(tuple))
    orders: list[Any] = ["group", *measures]
    some_ids = st.lists(ID, max_size=3).map(tuple)
    return AggregateQuery(
        tenant=draw(st.just(EVERYONE) | st.sampled_from(["acme", "zeta", "'", "nobody"])),
        edges_ms=draw(edges()),
        group_by=group_by,
        measures=measures,
        ad_ids=draw(some_ids),
        campaign_ids=draw(some_ids),
        devices=draw(st.sampled_from([(), ("mobile",), ("mobile", "desktop")])),
        outcomes=draw(st.sampled_from([(), ("counted",), ("bot", "duplicate")])),
        order=draw(st.sampled_from(orders)),
        limit=draw(st.integers(1, 20) | st.just(1_000_000)),
        totals=bool(group_by) and draw(st.booleans()),
    )


MIDNIGHT_MS = (NOON_S + 4 * 86_400) * 1000 - 12 * HOUR_MS
"""2026-12-01: the first of a month, so that every grain has a cell that begins here."""
CELL_MS: dict[Table, int] = {
    "live": 60_000,
    "minute": 60_000,
    "quarter_hour": 15 * 60_000,
    "day": 24 * HOUR_MS,
    "month": 31 * 24 * HOUR_MS,
}


class Recount(NamedTuple):
    """An hour of recounted rows, and what of them is published where."""

    hour: int
    rows: list[Live]
    days: bool


@st.composite
def recounts(draw: st.DrawFn) -> Recount:
    """Hours near a midnight at which a day and a month begin."""
    hour = draw(st.integers(-3, 3))
    start_s = MIDNIGHT_MS // 1000 + hour * 3_600
    at = st.integers(0, 59).map(lambda minute: start_s + minute * MINUTE_S)
    timed = st.tuples(rows, at).map(lambda pair: pair[0]._replace(minute_s=pair[1]))
    return Recount(hour, draw(st.lists(timed, max_size=8)), draw(st.booleans()))


@st.composite
def sourced(draw: st.DrawFn) -> AggregateQuery:
    """A query whose range is cut into sources, and each of them by edges, all at whole cells."""
    at_ms = MIDNIGHT_MS - draw(st.integers(0, 16)) * 15 * 60_000
    edges_ms, sources = [at_ms], list[Source]()
    for _ in range(draw(st.integers(1, 4))):
        tables = [table for table, cell_ms in CELL_MS.items() if cell_ms <= 15 * 60_000 or at_ms == MIDNIGHT_MS]
        table = draw(st.sampled_from(tables))
        steps = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)) if CELL_MS[table] <= 15 * 60_000 else [1]
        if table in ("live", "minute"):
            # Ends at a quarter hour, so that any table may follow.
            steps.append(15 - sum(steps) % 15)
        start_ms = at_ms
        for step in steps:
            at_ms += step * CELL_MS[table]
            if draw(st.booleans()) or step is steps[-1]:
                edges_ms.append(at_ms)
        sources.append(Source(table, start_ms, at_ms))
    edges_ms = sorted({*edges_ms, at_ms})
    query = draw(queries())
    return msgspec.structs.replace(query, edges_ms=tuple(edges_ms), sources=tuple(sources))


@pytest.fixture(
    scope="module",
    params=[
        "chdb",
        pytest.param("server", marks=pytest.mark.servers),
        pytest.param("two servers", marks=pytest.mark.servers),
    ],
)
def store(request: pytest.FixtureRequest) -> Iterator[Any]:
    folder = Path(tempfile.mkdtemp())
    if request.param == "chdb":
        opened = chdb(folder)
    elif request.param == "server":
        opened = clickhouse_stored(request.getfixturevalue("servers").running(ClickHouse))
    else:
        opened = clickhouse_stored(*request.getfixturevalue("shard_servers"))
    yield opened.store
    opened.close()
    shutil.rmtree(folder)


@settings(max_examples=80, deadline=None)
@given(appends, st.lists(queries(), min_size=1, max_size=3))
def test_the_store_answers_as_plain_python_does(
    store: Any, appended: list[list[Live]], asked: list[AggregateQuery]
) -> None:
    store._run(f"TRUNCATE TABLE {store._database}.minute_live")
    plain = MemoryOlap()
    for batch in appended:
        store.append_live(live(*batch))
        plain.append_live(live(*batch))
    for query in asked:
        assert list(store.aggregate(query)) == list(plain.aggregate(query))


@settings(max_examples=40, deadline=None)
@given(appends, st.lists(recounts(), max_size=4), st.lists(sourced(), min_size=1, max_size=4))
def test_the_store_publishes_and_mixes_tables_as_plain_python_does(
    store: Any, appended: list[list[Live]], recounted_hours: list[Recount], asked: list[AggregateQuery]
) -> None:
    grains: tuple[Grain, ...] = ("minute", "quarter_hour", "day", "month")
    for table in ("minute_live", *(TABLES[grain].name for grain in grains)):
        store._run(f"TRUNCATE TABLE {store._database}.{table}")
    plain = MemoryOlap()
    later_s = MIDNIGHT_MS // 1000 - NOON_S - 60 * MINUTE_S
    for batch in appended:
        shifted = [row._replace(minute_s=row.minute_s + later_s) for row in batch]
        for each in (store, plain):
            each.append_live(live(*shifted))
    folder = Path(tempfile.mkdtemp())
    for hour, its_rows, days in recounted_hours:
        files = recounted(folder, *its_rows)
        hour_ms = MIDNIGHT_MS + hour * HOUR_MS
        for each in (store, plain):
            each.stage(files)
        for against in ("live", "minute"):
            bounds: Any = (hour_ms - 10 * 60_000, hour_ms + HOUR_MS, against, 3)
            assert store.staged_differences(*bounds) == plain.staged_differences(*bounds)
        assert store.publish_hours([hour_ms]) == plain.publish_hours([hour_ms])
        if days:
            for day_ms in (MIDNIGHT_MS - 24 * HOUR_MS, MIDNIGHT_MS):
                assert store.publish_day(day_ms) == plain.publish_day(day_ms)
            assert store.publish_month(MIDNIGHT_MS) == plain.publish_month(MIDNIGHT_MS)
    shutil.rmtree(folder)
    for grain in grains:
        assert store.spans(grain, 0, 2**41) == plain.spans(grain, 0, 2**41)
    for query in asked:
        assert list(store.aggregate(query)) == list(plain.aggregate(query))
