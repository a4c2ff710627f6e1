"""Valkey killed and frozen under reads: slower, never wrong, and there again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import pytest
import redis
from deploy.local.valkey import Valkey

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import CacheError, ConfigError
from adtally.serve.cache import valkey
from adtally.serve.cache.valkey import ValkeyCache
from support.servers import Servers
from support.serving import SetClock

pytestmark = pytest.mark.servers

RECOVERY_S_MAX = 30.0


@pytest.fixture
def server(servers: Servers) -> Iterator[Valkey]:
    running = servers.running(Valkey)
    yield running
    running.thaw()


@pytest.fixture
def cache(server: Valkey) -> Iterator[ValkeyCache]:
    opened = ValkeyCache(server.url, "test", SYSTEM_CLOCK)
    until_it_answers(opened)
    yield opened
    opened.close()


def until_it_answers(cache: ValkeyCache) -> None:
    deadline = monotonic() + RECOVERY_S_MAX
    while True:
        try:
            cache.get(b"anything")
        except CacheError:
            assert monotonic() < deadline
            sleep(0.02)
        else:
            return


def until_it_fails(cache: ValkeyCache) -> None:
    deadline = monotonic() + RECOVERY_S_MAX
    while monotonic() < deadline:
        try:
            cache.get(b"anything")
        except CacheError:
            return
    pytest.fail("the cache goes on answering")


def test_readers_see_right_values_or_an_error_while_it_freezes_and_dies(server: Valkey, cache: ValkeyCache) -> None:
    keys = [f"key {number}".encode() for number in range(50)]
    ended = threading.Event()

    def read(first: int) -> set[str]:
        seen: set[str] = set()
        while not ended.is_set():
            for key in keys[first:]:
                try:
                    value = cache.get(key)
                    seen.add("hit" if value == key * 9 else "miss" if value is None else f"wrong: {value!r}")
                    if value is None:
                        cache.put(key, key * 9, 60)
                except CacheError:
                    seen.add("error")
        return seen

    with ThreadPoolExecutor(8) as threads:
        reading = [threads.submit(read, number) for number in range(8)]
        try:
            for end, begin in ((server.freeze, server.thaw), (server.kill, server.start)):
                until_it_answers(cache)
                end()
                until_it_fails(cache)
                begin()
            until_it_answers(cache)
        finally:
            ended.set()
        found = set().union(*(reader.result() for reader in reading))
    assert found == {"hit", "miss", "error"}
    cache.put(b"new", b"value", 60)
    assert cache.get(b"new") == b"value"


def test_a_frozen_cache_costs_one_timeout_and_then_nothing(server: Valkey, cache: ValkeyCache) -> None:
    server.freeze()
    begun = monotonic()
    for _ in range(1_000):
        with pytest.raises(CacheError):
            cache.get(b"key")
    assert monotonic() - begun < 0.9


def test_pauses_grow_and_end_with_the_first_answer(server: Valkey) -> None:
    clock = SetClock()
    cache = ValkeyCache(server.url, "test", clock)
    server.kill()
    for pause_s in (1, 2, 4, 4):
        with pytest.raises(CacheError, match="does not answer"):
            cache.get(b"key")
        clock.at_s += pause_s - 0.01
        with pytest.raises(CacheError, match="left alone"):
            cache.put(b"key", b"value", 5)
        clock.at_s += 0.02
    server.start()
    assert cache.get(b"key") is None
    server.kill()
    with pytest.raises(CacheError, match="does not answer"):
        cache.get(b"key")
    clock.at_s += 1.01
    server.start()
    assert cache.get(b"key") is None
    cache.close()


def test_many_who_fail_at_once_make_one_pause(server: Valkey, cache: ValkeyCache) -> None:
    server.freeze()

    def fail(_: int) -> None:
        with pytest.raises(CacheError):
            cache.get(b"key")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fail, range(8)))
    assert cache._failures == 1


def test_two_systems_on_one_server_do_not_see_each_other(server: Valkey, cache: ValkeyCache) -> None:
    other = ValkeyCache(server.url, "other", SYSTEM_CLOCK)
    cache.put(b"key", b"mine", 60)
    assert other.get(b"key") is None
    other.put(b"key", b"theirs", 60)
    assert (cache.get(b"key"), other.get(b"key")) == (b"mine", b"theirs")
    other.close()


def test_a_value_that_belongs_to_another_key_is_never_given(server: Valkey, cache: ValkeyCache) -> None:
    cache.put(b"one", b"of a tenant", 60)
    with redis.Redis.from_url(server.url) as behind:
        behind.copy("adtally:test:one", "adtally:test:two", replace=True)
        behind.set("adtally:test:three", "short")
    for key in (b"two", b"three"):
        with pytest.raises(CacheError, match="another key"):
            cache.get(key)
    assert cache.get(b"one") == b"of a tenant"


def test_a_value_that_is_too_large_takes_the_old_one_away(cache: ValkeyCache) -> None:
    cache.put(b"key", b"old", 60)
    cache.put(b"key", b"x" * (valkey.VALUE_BYTES_MAX + 1), 60)
    assert cache.get(b"key") is None


@pytest.mark.parametrize("url", ["redis://:s3cret@h:port/0", "http://:s3cret@h/0", "s3cret"])
def test_a_url_that_is_none_is_refused_without_naming_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"serve\.cache_url") as caught:
        ValkeyCache(url, "test", SYSTEM_CLOCK)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_password_is_an_error_like_any_other(server: Valkey) -> None:
    cache = ValkeyCache(server.url.replace("redis://:", "redis://:wr0ng"), "test", SYSTEM_CLOCK)
    with pytest.raises(CacheError) as caught:
        cache.get(b"key")
    assert "wr0ng" not in str(caught.value)
    cache.close()
