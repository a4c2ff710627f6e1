"""The cache that several API servers share: Valkey, or Redis."""

import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from adtally.clock import Clock
from adtally.errors import CacheError, ConfigError

ANSWER_S_MAX: Final = 0.05
"""Within one data centre an answer takes less than a millisecond; making it anew takes some ten."""
CONNECT_S_MAX: Final = 0.1
PAUSE_S: Final = 1.0
PAUSE_S_MAX: Final = 4.0

VALUE_BYTES_MAX: Final = 1024 * 1024
"""Larger ones are not kept: sending them would hold up who asks for others."""
CONNECTIONS_MAX: Final = 32
SEAL_BYTES: Final = 16


class ValkeyCache:
    """Implements serve.cache.port.Cache.

    After a failure it is left alone for a second, and for twice as long each time that it fails again: a cache that is
    away must not cost every request its timeout. Each value begins with a hash of its key, so that an answer that
    belongs to another request can never be taken for this one's.
    """

    def __init__(self, url: str, system: str, clock: Clock) -> None:
        """Connect when first asked; `system` sets its keys apart from those of others who share the server.

        Raises ConfigError for a URL that is none.
        """
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=ANSWER_S_MAX,
                socket_connect_timeout=CONNECT_S_MAX,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                max_connections=CONNECTIONS_MAX,
            )
        except ValueError:
            # Its text may quote the URL, and with it the password.
            raise ConfigError("serve.cache_url is no `redis://:password@host:port/0`") from None
        self._prefix = f"adtally:{system}:".encode()
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._rests_until_s = 0.0

    def get(self, key: bytes) -> bytes | None:
        """Give the value; see the port."""
        place = self._prefix + key
        with self._asking():
            # mypy cannot know that this client is no asynchronous one.
            kept: bytes | None = self._client.get(place)  # type: ignore[assignment]
        if kept is None:
            return None
        if not hmac.compare_digest(kept[:SEAL_BYTES], _seal(place)):
            # The connection may be out of step with its requests.
            self._client.connection_pool.disconnect()
            raise CacheError("the cache gave what belongs to another key: its connections were closed")
        return kept[SEAL_BYTES:]

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keep the value, unless it is too large; see the port."""
        place = self._prefix + key
        with self._asking():
            if ttl_s <= 0 or len(value) > VALUE_BYTES_MAX:
                self._client.delete(place)
            else:
                self._client.set(place, _seal(place) + value, px=max(1, round(ttl_s * 1000)))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s < self._rests_until_s:
                raise CacheError(f"the cache did not answer and is left alone for {self._rests_until_s - now_s:.1f} s")
            failures = self._failures
            if failures:
                # Who comes meanwhile does not wait with us for what may be as silent as before.
                self._rests_until_s = now_s + CONNECT_S_MAX + ANSWER_S_MAX
        try:
            yield
        except redis.RedisError as error:
            with self._lock:
                # Those who were waiting at the same time failed for the same reason.
                if self._failures == failures:
                    self._failures += 1
                    pause_s = min(PAUSE_S_MAX, PAUSE_S * 2**failures)
                    self._rests_until_s = self._clock.monotonic_s() + pause_s
            # The driver's text can hold the address, and never the password.
            raise CacheError(f"the cache does not answer ({error})") from error
        with self._lock:
            self._failures = 0
            self._rests_until_s = 0.0


def _seal(place: bytes) -> bytes:
    return blake2b(place, digest_size=SEAL_BYTES).digest()
