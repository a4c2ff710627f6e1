"""The bounds of the cache in memory."""

from adtally.serve.cache.memory import ENTRY_BYTES, MemoryCache
from support.serving import SetClock


def test_it_never_holds_more_bytes_than_it_may() -> None:
    cache = MemoryCache(20_000, SetClock())
    for number in range(500):
        cache.put(str(number).encode(), b"x" * (number * 7 % 2_000), 60)
        assert cache.bytes_used <= 20_000
    assert cache.get(b"499") is not None


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    cache = MemoryCache(10 * (ENTRY_BYTES + 1_001), SetClock())
    for number in range(10):
        cache.put(str(number).encode(), b"x" * 1_000, 60)
    assert cache.get(b"0") is not None
    cache.put(b"n", b"x" * 1_000, 60)
    assert cache.get(b"1") is None
    assert cache.get(b"0") is not None


def test_a_value_that_would_drive_out_all_others_is_not_kept_and_the_old_one_goes() -> None:
    cache = MemoryCache(80_000, SetClock())
    cache.put(b"key", b"old", 60)
    cache.put(b"key", b"x" * 10_000, 60)
    assert cache.get(b"key") is None
    assert cache.bytes_used == 0


def test_what_is_over_gives_its_bytes_back_when_it_is_asked_for() -> None:
    clock = SetClock()
    cache = MemoryCache(80_000, clock)
    cache.put(b"key", b"value", 60)
    clock.at_s += 60
    assert cache.get(b"key") is None
    assert cache.bytes_used == 0


def test_with_no_room_nothing_is_kept() -> None:
    cache = MemoryCache(0, SetClock())
    cache.put(b"key", b"", 60)
    assert cache.get(b"key") is None
