"""ClickHouse, PostgreSQL, S3 and Valkey behind a network that delays, cuts and swallows, so that callers repeat."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from urllib.parse import urlsplit

import msgspec
import pytest
from deploy.local.clickhouse import ClickHouse
from deploy.local.s3 import S3
from deploy.local.valkey import Valkey

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import CacheError, LakeError, StoreUnavailableError
from adtally.lake.s3 import S3Lake
from adtally.olap.clickhouse import ClickHouseStore
from adtally.registry.port import Ad
from adtally.registry.sql import SqlRegistry
from adtally.serve.cache.valkey import ValkeyCache
from support.databases import postgres_url
from support.embedded import wait_for
from support.lake_events import NOON_MS, click, lake_ids, rows
from support.olap_stores import MEMORY_BYTES_MAX, Live, clickhouse_stored, live, total
from support.patience import PATIENCE_S, until_it_answers
from support.s3 import access, fresh_url
from support.servers import Servers
from support.tcp_proxy import MODES, Mode, TcpProxy

pytestmark = pytest.mark.servers

TIMEOUT_S = 1.0
ROUNDS = 3


def all_modes(rnd: random.Random) -> list[Mode]:
    """Give each mode ROUNDS times, each round in another order."""
    return [mode for _ in range(ROUNDS) for mode in rnd.sample(MODES, len(MODES))]


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
        for mode in all_modes(rnd):
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
    # What a silent network costs is the product's own patience.
    url = postgres_url(request, patient=False)
    port = urlsplit(url).port
    assert port is not None
    with TcpProxy(port, rnd) as proxy:
        registry = until_it_answers(lambda: SqlRegistry.open(url.replace(f":{port}/", f":{proxy.port}/")))
        ads: list[Ad] = []
        failures = 0
        for mode in rnd.sample(MODES, len(MODES)):
            ads.append(Ad(f"ad_{len(ads)}", "acme", "https://acme.example/"))
            proxy.set_mode(mode)
            failures += not attempt(lambda: registry.upsert_ads(ads))
            proxy.set_mode("pass")
            until_it_answers(lambda: registry.upsert_ads(ads))
            assert until_it_answers(registry.count_ads) == len(ads)
        registry.close()
        print(f"{failures} failures, {dict(proxy.pieces)}")
        assert failures


def test_files_that_reach_s3_late_half_or_without_an_answer_are_there_once_and_whole(
    servers: Servers, seed: int
) -> None:
    server, rnd = servers.running(S3), random.Random(seed)
    url, given = fresh_url(server), access(server)
    lake = S3Lake(url, given)
    with TcpProxy(int(urlsplit(server.endpoint).port or 0), rnd) as proxy, ThreadPoolExecutor(1) as thread:
        through = S3Lake(url, msgspec.structs.replace(given, endpoint=f"http://127.0.0.1:{proxy.port}"))
        seq = failures = 0
        for mode in all_modes(rnd):
            clicks = [click(seq := seq + 1) for _ in range(rnd.randint(1, 2_000))]
            proxy.set_mode(mode)
            met = proxy.pieces[mode]
            writing = thread.submit(through.write, NOON_MS, f"edge-0-{seq}", rows(clicks))
            wait_for(lambda: writing.done() or proxy.pieces[mode] > met, PATIENCE_S, "the request is under way")  # noqa: B023
            # Whoever waits in silence is answered by no timeout of ours, but by the network's return.
            proxy.set_mode("pass")
            try:
                writing.result(PATIENCE_S)
            except LakeError:
                failures += 1
                until_it_answers(lambda: through.write(NOON_MS, f"edge-0-{seq}", rows(clicks)))  # noqa: B023
            assert lake_ids(lake) == [("e1", number) for number in range(1, seq + 1)]
        assert lake_ids(through) == lake_ids(lake)
        print(f"{seq} events, {failures} failures, {dict(proxy.pieces)}")


def test_a_cache_behind_a_bad_network_answers_right_or_not_at_all(servers: Servers, seed: int) -> None:
    server, rnd = servers.running(Valkey), random.Random(seed)
    port = urlsplit(server.url).port
    with TcpProxy(int(port or 0), rnd) as proxy:
        cache = ValkeyCache(server.url.replace(f":{port}", f":{proxy.port}"), "proxied", SYSTEM_CLOCK)
        failures = 0
        for mode in all_modes(rnd):
            until_it_answers(lambda: cache.put(b"a", b"value of a", 60))
            until_it_answers(lambda: cache.put(b"b", b"value of b", 60))
            proxy.set_mode(mode)
            for key in rnd.choices((b"a", b"b"), k=20):
                try:
                    assert cache.get(key) in (None, b"value of " + key)
                except CacheError:
                    failures += 1
            proxy.set_mode("pass")
            until_it_answers(lambda: cache.get(b"a"))
        cache.close()
        print(f"{failures} failures, {dict(proxy.pieces)}")
        assert failures >= 2 * ROUNDS, "a silent and a deaf network let answers pass"
