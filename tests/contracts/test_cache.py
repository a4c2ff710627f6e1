"""What every cache keeps, and for how long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest
import redis
from deploy.local.valkey import Valkey

from adtally.serve.cache import valkey
from adtally.serve.cache.memory import MemoryCache
from adtally.serve.cache.port import Cache
from adtally.serve.cache.valkey import ValkeyCache
from support.serving import SetClock

NEVER_ENDS = -1
"""What PTTL says of a key without a time."""
PATIENCE_S = 30.0


class Kept(Protocol):
    """A cache, and how its time is made to pass."""

    cache: Cache

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the cache."""
        ...


class InMemory:
    def __init__(self) -> None:
        self._clock = SetClock()
        self.cache: Cache = MemoryCache(1 << 20, self._clock)

    def pass_time(self, seconds: float) -> None:
        self._clock.at_s += seconds


class InValkey:
    def __init__(self, server: Valkey) -> None:
        self._client = redis.Redis.from_url(server.url)
        self._client.flushdb()
        self.opened = ValkeyCache(server.url, "test", SetClock())
        self.cache: Cache = self.opened

    def pass_time(self, seconds: float) -> None:
        """Shorten what is left of each key's time: the server has a clock of its own."""
        for key in self._client.scan_iter():
            left_ms = self._client.pttl(key)
            assert left_ms != NEVER_ENDS, "a value was put that never ends"
            # A key that is gone meanwhile stays so.
            self._client.pexpire(key, max(0, left_ms - round(seconds * 1000)))

    def close(self) -> None:
        self.opened.close()
        self._client.close()


@pytest.fixture(params=["memory", pytest.param("valkey", marks=pytest.mark.servers)])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    if request.param == "memory":
        yield InMemory()
        return
    # What the cache keeps is asked here, not for how long it is waited for.
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setattr(valkey, "ANSWER_S_MAX", PATIENCE_S)
    monkeypatch.setattr(valkey, "CONNECT_S_MAX", PATIENCE_S)
    shared = InValkey(request.getfixturevalue("servers").running(Valkey))
    yield shared
    shared.close()


def test_what_was_put_is_given_and_nothing_else(kept: Kept) -> None:
    kept.cache.put(b"\x00key", b"\xff\x00value", 1_000)
    assert kept.cache.get(b"\x00key") == b"\xff\x00value"
    assert kept.cache.get(b"\x00ke") is None


def test_an_empty_value_is_a_value(kept: Kept) -> None:
    kept.cache.put(b"key", b"", 1_000)
    assert kept.cache.get(b"key") == b""


def test_the_last_value_counts_and_so_does_its_time(kept: Kept) -> None:
    kept.cache.put(b"key", b"first", 1_000)
    kept.cache.put(b"key", b"second", 3_000)
    kept.pass_time(2_000)
    assert kept.cache.get(b"key") == b"second"
    kept.cache.put(b"key", b"third", 100)
    kept.pass_time(101)
    assert kept.cache.get(b"key") is None


def test_a_value_is_there_until_its_time_is_over(kept: Kept) -> None:
    kept.cache.put(b"key", b"value", 500)
    kept.pass_time(400)
    assert kept.cache.get(b"key") == b"value"
    kept.pass_time(101)
    assert kept.cache.get(b"key") is None


def test_threads_never_see_the_value_of_another_key(kept: Kept) -> None:
    def put_and_get(number: int) -> bool:
        key = str(number % 7).encode()
        kept.cache.put(key, key * 100, 1_000)
        return kept.cache.get(key) in (key * 100, None)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(put_and_get, range(2_000)))
