"""Valkey killed and frozen under reads: slower, never wrong, and there again."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from deploy.local.valkey import Valkey

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import CacheError, ConfigError
from adtally.serve.cache import valkey
from adtally.serve.cache.valkey import ValkeyCache
from support.embedded import wait_for
from support.patience import PATIENCE_S, until_it_answers
from support.servers import Servers
from support.serving import SetClock

pytestmark = pytest.mark.servers


@pytest.fixture
def server(servers: Servers) -> Iterator[Valkey]:
    running = servers.running(Valkey)
    yield running
    running.thaw()


@pytest.fixture
def cache(server: Valkey, patient: None) -> Iterator[ValkeyCache]:
    opened = ValkeyCache(server.url, "test", SYSTEM_CLOCK)
    yield opened
    opened.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let caches wait for the answers of a server that lives: a busy machine keeps it for longer than 50 ms."""
    monkeypatch.setattr(valkey, "ANSWER_S_MAX", PATIENCE_S)
    monkeypatch.setattr(valkey, "CONNECT_S_MAX", PATIENCE_S)


def test_readers_see_right_values_or_an_error_while_it_freezes_and_dies(server: Valkey) -> None:
    cache = ValkeyCache(server.url, "test", SYSTEM_CLOCK)
    keys = [f"key {number}".encode() for number in range(50)]
    ended = threading.Event()
    found = [Counter[str]() for _ in range(8)]

    def read(seen: Counter[str], first: int) -> None:
        while not ended.is_set():
            for key in keys[first:]:
                try:
                    value = cache.get(key)
                    seen["hit" if value == key * 9 else "miss" if value is None else f"wrong: {value!r}"] += 1
                    if value is None:
                        cache.put(key, key * 9, 600)
                except CacheError:
                    seen["error"] += 1

    def all_see_more(what: str) -> None:
        before = [seen[what] for seen in found]
        wait_for(lambda: all(s[what] > b for s, b in zip(found, before, strict=True)), PATIENCE_S, f"all see: {what}")

    with ThreadPoolExecutor(8) as threads:
        reading = [threads.submit(read, seen, number) for number, seen in enumerate(found)]
        try:
            for end, begin in ((server.freeze, server.thaw), (server.kill, server.start)):
                all_see_more("hit")
                end()
                all_see_more("error")
                begin()
            all_see_more("hit")
        finally:
            ended.set()
        for reader in reading:
            reader.result()
    assert set().union(*found) == {"hit", "miss", "error"}
    until_it_answers(lambda: cache.put(b"new", b"value", 600))
    assert until_it_answers(lambda: cache.get(b"new")) == b"value"
    cache.close()


def test_a_frozen_cache_costs_one_timeout_and_then_nothing(server: Valkey) -> None:
    # By a clock that stands still the pause does not end.
    cache = ValkeyCache(server.url, "test", SetClock())
    server.freeze()
    with pytest.raises(CacheError, match="does not answer"):
        cache.get(b"key")
    for _ in range(1_000):
        with pytest.raises(CacheError, match="left alone"):
            cache.get(b"key")
    cache.close()


def test_pauses_grow_and_end_with_the_first_answer(server: Valkey, patient: None) -> None:
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


def test_many_who_fail_at_once_make_one_pause(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    # So long that all are waiting before the first one has failed.
    monkeypatch.setattr(valkey, "ANSWER_S_MAX", 3.0)
    cache = ValkeyCache(server.url, "test", SetClock())
    server.freeze()
    together = threading.Barrier(8)

    def fail(_: int) -> None:
        together.wait()
        with pytest.raises(CacheError):
            cache.get(b"key")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fail, range(8)))
    assert cache._failures == 1
    cache.close()


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
