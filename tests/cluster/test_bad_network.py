"""ClickHouse and PostgreSQL behind a network that delays, cuts, swallows and makes callers repeat themselves."""

import random
from collections.abc import Callable
from time import monotonic
from urllib.parse import urlsplit

import pytest
from deploy.local.clickhouse import ClickHouse

from adtally.errors import StoreUnavailableError
from adtally.olap.clickhouse import ClickHouseStore
from adtally.registry.port import Ad
from adtally.registry.sql import SqlRegistry
from support.databases import postgres_url
from support.olap_stores import MEMORY_BYTES_MAX, Live, clickhouse_stored, live, total
from support.servers import Servers
from support.tcp_proxy import MODES, TcpProxy

pytestmark = pytest.mark.servers

TIMEOUT_S = 1.0
PATIENCE_S = 30.0
ROUNDS = 3


def until_it_answers(call: Callable[[], object]) -> None:
    """Call until it goes well; each attempt ends by itself."""
    deadline = monotonic() + PATIENCE_S
    while True:
        try:
            call()
        except StoreUnavailableError:
            assert monotonic() < deadline, "nothing answers although the network is well"
        else:
            return


def attempt(call: Callable[[], object]) -> bool:
    """Tell whether a call went well; it must end in bounded time, by an answer or by the one error that may follow."""
    begun = monotonic()
    try:
        call()
    except StoreUnavailableError:
        well = False
    else:
        well = True
    assert monotonic() - begun < PATIENCE_S, "a caller hung"
    return well


def test_live_rows_that_reach_clickhouse_none_one_or_many_times_are_counted_once(servers: Servers, seed: int) -> None:
    server, rnd = servers.running(ClickHouse), random.Random(seed)
    stored = clickhouse_stored(server)
    assert isinstance(stored.store, ClickHouseStore)
    with TcpProxy(int(urlsplit(server.url).port or 0), rnd) as proxy:
        through = ClickHouseStore(
            [f"http://127.0.0.1:{proxy.port}"], server.user, server.password, database=stored.store._database,
            memory_bytes_max=MEMORY_BYTES_MAX, timeout_s=TIMEOUT_S,
        )  # fmt: skip
        clicks, users = 0, set[str]()
        failures = 0
        for mode in [mode for _ in range(ROUNDS) for mode in rnd.sample(MODES, len(MODES))]:
            clicks += rnd.randint(1, 5)
            users |= {f"u{rnd.randrange(20)}" for _ in range(3)}
            proxy.set_mode(mode)
            failures += not attempt(lambda: through.append_live(live(Live(clicks, users))))  # noqa: B023
            proxy.set_mode("pass")
            until_it_answers(lambda: through.append_live(live(Live(clicks, users))))  # noqa: B023
            assert total(stored.store) == (clicks, len(users))
        through.close()
        print(f"{failures} failures, {dict(proxy.pieces)}")
        assert failures >= 2 * ROUNDS, "a silent and a deaf network let rows pass"
    stored.close()


def test_ads_that_reach_postgresql_none_one_or_many_times_are_there_once(
    request: pytest.FixtureRequest, seed: int
) -> None:
    rnd = random.Random(seed)
    url = postgres_url(request)
    port = urlsplit(url).port
    assert port is not None
    with TcpProxy(port, rnd) as proxy:
        SqlRegistry.open(url).close()
        registry = SqlRegistry.open(url.replace(f":{port}/", f":{proxy.port}/"))
        ads: list[Ad] = []
        failures = 0
        for mode in rnd.sample(MODES, len(MODES)):
            ads.append(Ad(f"ad_{len(ads)}", "acme", "https://acme.example/"))
            proxy.set_mode(mode)
            failures += not attempt(lambda: registry.upsert_ads(ads))
            proxy.set_mode("pass")
            until_it_answers(lambda: registry.upsert_ads(ads))
            assert registry.count_ads() == len(ads)
        registry.close()
        print(f"{failures} failures, {dict(proxy.pieces)}")
        assert failures
