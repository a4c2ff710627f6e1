"""What every cache keeps, and for how long."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from adtally.serve.cache.memory import MemoryCache
from adtally.serve.cache.port import Cache
from support.serving import SetClock


class Kept:
    """A cache, and how its time is made to pass."""

    cache: Cache

    def __init__(self) -> None:
        self._clock = SetClock()
        self.cache = MemoryCache(1 << 20, self._clock)

    def pass_time(self, seconds: float) -> None:
        self._clock.at_s += seconds


@pytest.fixture(params=[Kept])
def kept(request: pytest.FixtureRequest) -> Kept:
    made: Kept = request.param()
    return made


def test_what_was_put_is_given_and_nothing_else(kept: Kept) -> None:
    kept.cache.put(b"\x00key", b"\xff\x00value", 10)
    assert kept.cache.get(b"\x00key") == b"\xff\x00value"
    assert kept.cache.get(b"\x00ke") is None


def test_an_empty_value_is_a_value(kept: Kept) -> None:
    kept.cache.put(b"key", b"", 10)
    assert kept.cache.get(b"key") == b""


def test_the_last_value_counts_and_so_does_its_time(kept: Kept) -> None:
    kept.cache.put(b"key", b"first", 10)
    kept.cache.put(b"key", b"second", 30)
    kept.pass_time(20)
    assert kept.cache.get(b"key") == b"second"
    kept.cache.put(b"key", b"third", 1)
    kept.pass_time(1.5)
    assert kept.cache.get(b"key") is None


def test_a_value_is_there_until_its_time_is_over(kept: Kept) -> None:
    kept.cache.put(b"key", b"value", 5)
    kept.pass_time(4)
    assert kept.cache.get(b"key") == b"value"
    kept.pass_time(1.5)
    assert kept.cache.get(b"key") is None


def test_threads_never_see_the_value_of_another_key(kept: Kept) -> None:
    def put_and_get(number: int) -> bool:
        key = str(number % 7).encode()
        kept.cache.put(key, key * 100, 10)
        return kept.cache.get(key) in (key * 100, None)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(put_and_get, range(2_000)))
