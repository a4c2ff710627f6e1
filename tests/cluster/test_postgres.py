"""PostgreSQL under the registry and the ledger: killed, frozen, used by many at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from deploy.local.postgres import Postgres

from adtally.errors import ConfigError, StoreUnavailableError
from adtally.ledger import schema
from adtally.ledger.sql import SqlLedger
from adtally.postgres import CONNECT_S_MAX, PING_S_MAX
from adtally.registry.port import Ad, RefusedAdsError
from adtally.registry.sql import SqlRegistry
from adtally.sqldb import SqlDatabase
from support.databases import postgres_url
from support.ledger_lines import HOUR_MS, line
from support.patience import until_it_answers
from support.servers import Servers

pytestmark = pytest.mark.servers

BUSY_S = 60.0
"""So much longer everything may take on a busy machine; who waits for a frozen server waits for ever."""


@pytest.fixture
def server(servers: Servers) -> Iterator[Postgres]:
    running = servers.running(Postgres)
    yield running
    running.thaw()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return postgres_url(request)


@pytest.fixture
def registry(url: str) -> Iterator[SqlRegistry]:
    opened = SqlRegistry.open(url)
    yield opened
    opened.close()


def ad(ad_id: str, advertiser_id: str = "acme") -> Ad:
    return Ad(ad_id, advertiser_id, "https://acme.example/")


def test_a_killed_server_is_unavailable_and_then_there_again(server: Postgres, registry: SqlRegistry) -> None:
    registry.upsert_ads([ad("before")])
    server.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="the registry"):
            registry.ad("before")
    with pytest.raises(StoreUnavailableError):
        registry.upsert_ads([ad("meanwhile")])
    server.start()
    assert registry.ad("before") == ad("before")
    registry.upsert_ads([ad("after")])
    assert registry.count_ads() == 2


def test_a_connection_that_a_restart_cut_is_not_noticed_by_who_asks_later(
    server: Postgres, registry: SqlRegistry
) -> None:
    registry.upsert_ads([ad("a")])
    server.kill()
    server.start()
    assert registry.ad("a") == ad("a")


def test_a_frozen_server_is_unavailable_within_seconds(server: Postgres, request: pytest.FixtureRequest) -> None:
    url = postgres_url(request, patient=False)
    registry = until_it_answers(lambda: SqlRegistry.open(url))
    until_it_answers(lambda: registry.upsert_ads([ad("a")]))
    server.freeze()
    begun = monotonic()
    with pytest.raises(StoreUnavailableError):
        registry.ad("a")
    with pytest.raises(StoreUnavailableError):
        SqlRegistry.open(url)
    took_s = monotonic() - begun
    print(f"two who asked were told after {took_s:.1f} s together")
    assert took_s < 2 * (PING_S_MAX + CONNECT_S_MAX) + BUSY_S
    server.thaw()
    assert until_it_answers(lambda: registry.ad("a")) == ad("a")
    until_it_answers(lambda: registry.upsert_ads([ad("b")]))
    registry.close()


def test_a_server_that_freezes_in_the_middle_of_a_transaction_is_unavailable(
    server: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adtally.postgres.READ_S_MAX", 1.0)
    registry = SqlRegistry.open(url)

    def freeze_within() -> None:
        with registry._database.transaction() as connection:
            connection.exec_driver_sql("SELECT 1")
            server.freeze()
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(StoreUnavailableError, match="no answer within 1 s"):
        freeze_within()
    server.thaw()
    until_it_answers(registry.ping)
    registry.close()


def test_a_writer_that_waits_too_long_for_another_is_told(url: str) -> None:
    slow = SqlDatabase.open(url, "ledger", schema.MIGRATIONS)
    hasty = until_it_answers(lambda: SqlDatabase.open(url, "ledger", schema.MIGRATIONS, busy_timeout_s=1))

    def write() -> None:
        with hasty.transaction(write=True) as connection:
            connection.exec_driver_sql("SELECT 1")

    with slow.transaction(write=True), pytest.raises(StoreUnavailableError):
        write()
    until_it_answers(write)
    hasty.close()
    slow.close()


def test_numbers_of_lines_become_visible_in_their_order(url: str) -> None:
    writers = [SqlLedger.open(url) for _ in range(4)]
    reader = SqlLedger.open(url)
    ended = threading.Event()

    def write(ledger: SqlLedger) -> None:
        for hour in range(40):
            ledger.write(line(hour * HOUR_MS))

    def follow() -> list[int]:
        seen: list[int] = []
        while True:
            last_look = ended.is_set()
            seen += [summary.commit for summary in reader.summaries(after=seen[-1] if seen else 0)]
            if last_look:
                return seen

    with ThreadPoolExecutor(5) as threads:
        following = threads.submit(follow)
        for written in [threads.submit(write, ledger) for ledger in writers]:
            written.result()
        ended.set()
        # Who asks only for what is behind the last number that it saw misses none.
        assert following.result() == list(range(1, 161))
    for ledger in [*writers, reader]:
        ledger.close()


def test_of_two_importers_that_name_an_ad_for_different_advertisers_one_is_refused(url: str) -> None:
    registries = [SqlRegistry.open(url) for _ in range(2)]
    begin = threading.Barrier(2)

    def store(number: int) -> int:
        refused = 0
        for batch in range(30):
            begin.wait()
            try:
                registries[number].upsert_ads([ad(f"ad_{batch}", f"owner_{number}"), ad(f"own_{number}_{batch}")])
            except RefusedAdsError:
                refused += 1
        return refused

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(store, range(2))) == 30
    assert registries[0].count_ads() == 60
    for registry in registries:
        registry.close()


def test_many_openers_make_the_same_tables_at_once(url: str) -> None:
    def open_both(_: int) -> int:
        registry, ledger = SqlRegistry.open(url), SqlLedger.open(url)
        counted = registry.count_ads() + ledger.last_commit()
        registry.close()
        ledger.close()
        return counted

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(open_both, range(6))) == [0] * 6


@pytest.mark.parametrize("wrong", ["postgresql+psycopg://u:s3cret@127.0.0.1:1/x", "postgres://u:s3cret@h/x", "s3cret"])
def test_no_message_holds_the_password(wrong: str) -> None:
    with pytest.raises((StoreUnavailableError, ConfigError)) as caught:
        SqlRegistry.open(wrong)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__


def test_a_wrong_password_is_told_without_it(url: str) -> None:
    with pytest.raises(StoreUnavailableError, match="password authentication failed") as caught:
        SqlRegistry.open(url.replace("adtally:", "adtally:wr0ng"))
    assert "wr0ng" not in str(caught.value)


def test_texts_are_ordered_by_their_bytes_whatever_the_language_of_the_database(registry: SqlRegistry) -> None:
    with registry._database.transaction() as connection:
        collations = connection.exec_driver_sql(
            "SELECT DISTINCT collation_name FROM information_schema.columns "
            "WHERE table_schema = 'registry' AND data_type = 'text'"
        )
        assert list(collations.scalars()) == ["C"]
