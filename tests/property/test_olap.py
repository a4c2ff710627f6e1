"""Whatever is appended and asked, chDB answers as the store in plain Python does."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.olap.chdb import ChdbStore
from adtally.olap.port import EVERYONE, AggregateQuery, Dimension
from support.memory_olap import MemoryOlap
from support.olap_stores import MEMORY_BYTES_MAX, MINUTE_S, NOON_S, Live, live

MINUTES = 150
ID = st.sampled_from(["a", "b", "B", "a'", "\\", "é", "{tenant:String}"])

rows = st.builds(
    Live,
    clicks=st.integers(0, 1_000) | st.just(2**53 + 1),
    users=st.lists(st.integers(0, 200).map(str), max_size=20),
    ad_id=ID,
    minute_s=st.integers(0, MINUTES).map(lambda n: NOON_S + n * MINUTE_S),
    advertiser_id=st.sampled_from(["acme", "umbra", "'"]),
    campaign_id=st.just("") | ID,
    device=st.sampled_from(["mobile", "desktop"]),
    outcome=st.sampled_from(["counted", "duplicate", "bot"]),
    shard=st.sampled_from(["0", "1"]),
)
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
        tenant=draw(st.just(EVERYONE) | st.sampled_from(["acme", "'", "nobody"])),
        edges_ms=draw(edges()),
        group_by=group_by,
        measures=measures,
        ad_ids=draw(some_ids),
        campaign_ids=draw(some_ids),
        devices=draw(st.sampled_from([(), ("mobile",), ("mobile", "desktop")])),
        outcomes=draw(st.sampled_from([(), ("counted",), ("bot", "duplicate")])),
        order=draw(st.sampled_from(orders)),
        limit=draw(st.integers(1, 20) | st.just(1_000_000)),
    )


@pytest.fixture(scope="module")
def store() -> Iterator[ChdbStore]:
    folder = Path(tempfile.mkdtemp())
    opened = ChdbStore(folder / "olap", MEMORY_BYTES_MAX)
    opened.migrate()
    yield opened
    opened.close()
    shutil.rmtree(folder)


@settings(max_examples=80, deadline=None)
@given(appends, st.lists(queries(), min_size=1, max_size=3))
def test_chdb_answers_as_plain_python_does(
    store: ChdbStore, appended: list[list[Live]], asked: list[AggregateQuery]
) -> None:
    store._run("TRUNCATE TABLE adtally.minute_live")
    plain = MemoryOlap()
    for batch in appended:
        store.append_live(live(*batch))
        plain.append_live(live(*batch))
    for query in asked:
        assert list(store.aggregate(query)) == list(plain.aggregate(query))
