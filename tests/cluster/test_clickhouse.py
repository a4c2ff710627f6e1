"""What is a ClickHouse server's own: errors, restarts, and what a publisher that was killed leaves behind."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy.local.clickhouse import ClickHouse
from hypothesis import given, settings
from hypothesis import strategies as st

from adtally import faultpoint
from adtally.errors import DataFolderError, StoreQueryError, StoreUnavailableError
from adtally.olap.clickhouse import ClickHouseStore
from adtally.olap.migrations import SCHEMA_VERSION
from support.embedded import wait_for
from support.olap_stores import (
    HOUR_MS,
    MEMORY_BYTES_MAX,
    NOON_S,
    Live,
    cell,
    clickhouse_stored,
    final_cells,
    live,
    recounted,
    total,
)
from support.patience import PATIENCE_S, until_it_answers
from support.servers import Servers

pytestmark = pytest.mark.servers

NOON_MS = NOON_S * 1000
DAY_MS = NOON_MS - 12 * HOUR_MS
MONTH_MS = DAY_MS - 26 * 24 * HOUR_MS


@pytest.fixture
def server(servers: Servers) -> ClickHouse:
    return servers.running(ClickHouse)


@pytest.fixture
def store(server: ClickHouse) -> Iterator[Any]:
    opened = clickhouse_stored(server)
    yield opened.store
    opened.close()


def login(
    server: ClickHouse,
    *,
    password: str | None = None,
    timeout_s: float = 30.0,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
) -> ClickHouseStore:
    return ClickHouseStore(
        [server.url],
        server.user,
        server.password if password is None else password,
        database="nowhere",
        memory_bytes_max=memory_bytes_max,
        timeout_s=timeout_s,
    )


def test_any_text_comes_back_as_it_was(store: ClickHouseStore) -> None:
    @settings(max_examples=200, deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def comes_back(text: str) -> None:
        (shard,) = store._shards
        sql = "SELECT {a:String}, length({a:String}), {a:String} IN ('', {a:String})"
        assert shard.run(sql, {"a": text}) == [[text, len(text.encode()), 1]]

    comes_back()


def test_a_refused_statement_is_told_from_one_that_may_work_later(server: ClickHouse, store: ClickHouseStore) -> None:
    for refused in ("SELEC 1", "SELECT nothing", "SELECT 1 FROM nowhere.t", "SELECT nofunction(1)", "SELECT 1 + 'a'"):
        with pytest.raises(StoreQueryError):
            store._run(refused)
    # With so little memory it comes to its limit within a second.
    small = login(server, memory_bytes_max=1 << 26)
    with pytest.raises(StoreUnavailableError, match="Memory limit"):
        small._run("SELECT uniqExact(number) FROM numbers(200000000)")
    small.close()


def test_an_answer_that_fails_in_its_middle_is_an_error_and_no_part_of_an_answer(store: ClickHouseStore) -> None:
    with pytest.raises((StoreUnavailableError, StoreQueryError)):
        store._run("SELECT throwIf(number = 300000) FROM numbers(400000)")


def test_a_wrong_password_is_told_by_the_setting_and_not_shown(server: ClickHouse) -> None:
    wrong = login(server, password="not-this-one")
    with pytest.raises(StoreUnavailableError, match=r"check olap\.user and olap\.password") as raised:
        wrong.ping()
    assert "not-this-one" not in repr(raised.value.__cause__) + str(raised.value) + repr(wrong._shards[0]._login)
    wrong.close()


def test_a_server_that_does_not_answer_in_time_is_unavailable(server: ClickHouse) -> None:
    hasty = login(server, timeout_s=0.5)
    until_it_answers(hasty.ping)
    server.freeze()
    try:
        with pytest.raises(StoreUnavailableError, match=r"within 0\.5 s"):
            hasty.ping()
    finally:
        server.thaw()
    until_it_answers(hasty.ping)
    hasty.close()


def test_a_restarted_server_is_not_noticed_by_who_asks_after_it(server: ClickHouse, store: ClickHouseStore) -> None:
    store.append_live(live(Live(3, ["a"])))
    server.kill()
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        store.append_live(live(Live(4, ["b"])))
    server.start()
    store.append_live(live(Live(4, ["b"])))
    assert total(store) == (4, 2)
    server.stop()
    server.start()
    assert total(store) == (4, 2)


def test_an_append_of_more_rows_than_one_insert_takes_is_whole(store: ClickHouseStore) -> None:
    store.append_live(live(*(Live(1, [f"u{n % 10}"], ad_id=f"ad_{n}") for n in range(120_000))))
    assert total(store) == (120_000, 10)


def test_a_store_with_a_newer_schema_is_refused(store: ClickHouseStore) -> None:
    store._run(f"INSERT INTO {store._database}.migration (version) SELECT {SCHEMA_VERSION + 1}")
    with pytest.raises(DataFolderError, match=f"schema {SCHEMA_VERSION + 1}"):
        store.migrate()


def test_a_statement_that_a_killed_publisher_left_is_ended_before_its_table_is_filled_anew(
    store: ClickHouseStore, tmp_path: Path
) -> None:
    (shard,) = store._shards
    begun = "SELECT count() FROM system.processes WHERE position(query, 'left behind') > 0 AND query LIKE 'INSERT%'"
    slow = (
        f"INSERT INTO {store._database}.minute_staged (ad_id, minute, clicks) SELECT 'left behind', "
        f"toDateTime({NOON_S}), number FROM numbers(100000000000)"
    )
    problems: list[Exception] = []

    def leave() -> None:
        try:
            shard._connection.run(slow)
        except StoreUnavailableError as error:
            problems.append(error)

    left = threading.Thread(target=leave)
    left.start()
    wait_for(lambda: shard.run(begun) == [[1]], PATIENCE_S, "the statement runs")
    store.stage(recounted(tmp_path, Live(5, ["a"])))
    left.join()
    # Nobody waited until it had ended by itself.
    assert len(problems) == 1
    assert "cancel" in str(problems[0])
    assert store.publish_hours([NOON_MS])[0].events == 5


class Died(BaseException):
    """Stands for a kill: nothing catches it."""


OLD = [Live(2, ["a"]), Live(3, ["b"], ad_id="gone"), Live(9, ["x"], minute_s=NOON_S - 60)]
NEW = [Live(5, ["a", "c"]), Live(1, ["d"], ad_id="new", minute_s=NOON_S + 1_800)]


def publish_all(store: ClickHouseStore, files: list[str]) -> None:
    store.stage(files)
    store.publish_hours([NOON_MS])
    store.publish_day(DAY_MS)
    store.publish_month(MONTH_MS)


def test_a_publisher_that_dies_at_any_step_leaves_what_a_repeat_makes_right(
    store: ClickHouseStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, both = recounted(tmp_path, OLD[2]), recounted(tmp_path, *OLD)
    new = recounted(tmp_path, *NEW)
    store.stage(before)
    store.publish_hours([NOON_MS - HOUR_MS])
    steps: list[str] = []
    monkeypatch.setattr(faultpoint, "on_reach", steps.append)
    publish_all(store, new)
    assert len(steps) > 12
    for step in range(len(steps)):
        monkeypatch.setattr(faultpoint, "on_reach", lambda _: None)
        publish_all(store, both)
        left = [step]

        def die(_: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Died

        monkeypatch.setattr(faultpoint, "on_reach", die)
        with pytest.raises(Died):
            publish_all(store, new)
        monkeypatch.setattr(faultpoint, "on_reach", lambda _: None)
        assert final_cells(store, "minute") in (sorted(map(cell, OLD)), sorted(map(cell, [OLD[2], *NEW])))
        publish_all(store, new)
        assert final_cells(store, "minute") == sorted(map(cell, [OLD[2], *NEW]))
        for grain in ("quarter_hour", "day", "month"):
            assert sum(row[6] for row in final_cells(store, grain)) == 15
