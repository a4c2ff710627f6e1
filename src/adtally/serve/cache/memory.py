"""The cache of one process."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from adtally.clock import Clock

ENTRY_BYTES: Final = 256
"""What an entry costs beside its key and value: objects, and its place in the table."""

SHARE_OF_ONE: Final = 8
"""A value larger than this part of the whole is not kept: it would drive out all others."""


class MemoryCache:
    """Keeps `bytes_max` bytes; what was not asked for the longest goes first."""

    def __init__(self, bytes_max: int, clock: Clock) -> None:
        self._bytes_max = bytes_max
        self._clock = clock
        self._lock = Lock()
        self._bytes = 0
        self._kept: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        """Values, and when each ends."""

    @property
    def bytes_used(self) -> int:
        """Give the size of all that is kept."""
        return self._bytes

    def get(self, key: bytes) -> bytes | None:
        """Give the value, None if there is none or its time is over."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if found[1] <= now_s:
                self._remove(key)
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keep the value, unless it is too large; others may have to go for it."""
        size = _size(key, value)
        until_s = self._clock.monotonic_s() + ttl_s
        with self._lock:
            self._remove(key)
            if size > self._bytes_max // SHARE_OF_ONE or ttl_s <= 0:
                return
            self._kept[key] = (value, until_s)
            self._bytes += size
            while self._bytes > self._bytes_max:
                self._remove(next(iter(self._kept)))

    def _remove(self, key: bytes) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= _size(key, found[0])


def _size(key: bytes, value: bytes) -> int:
    return ENTRY_BYTES + len(key) + len(value)
