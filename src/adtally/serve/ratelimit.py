"""How often one key may ask: a token bucket each; and how it is told (draft-ietf-httpapi-ratelimit-headers-10)."""

import math
from typing import Final

from adtally.clock import Clock
from adtally.errors import AdtallyError

KEYS_MAX: Final = 10_000
POLICY: Final = "key"
"""The name of the one policy in the header fields."""
STREAM_RETRY_S: Final = 5


class RateLimitedError(AdtallyError):
    """The key has asked too often; after `retry_after_s` whole seconds it may again."""

    def __init__(self, requests_per_minute: int, retry_after_s: int) -> None:
        super().__init__(f"more than {requests_per_minute:,} requests a minute: try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class TooManyStreamsError(RateLimitedError):
    """The key has too many answers open that do not end by themselves."""

    def __init__(self, streams_max: int) -> None:
        AdtallyError.__init__(self, f"this key has {streams_max} live answers open: close one of them first")
        self.retry_after_s = STREAM_RETRY_S


class RateLimit:
    """Admits `requests_per_minute` at once, and as many in each minute that follows."""

    def __init__(self, requests_per_minute: int, clock: Clock) -> None:
        self._limit = requests_per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """Tokens that were left, and when."""

    def take(self, key_id: str) -> None:
        """Take a token of the key. Raises RateLimitedError if there is none."""
        now_s = self._clock.monotonic_s()
        tokens = self._tokens(key_id, now_s)
        if tokens < 1:
            raise RateLimitedError(self._limit, max(1, math.ceil((1 - tokens) * 60 / self._limit)))
        if len(self._buckets) >= KEYS_MAX:
            self._forget_full(now_s)
        self._buckets[key_id] = (tokens - 1, now_s)

    def header_fields(self, key_id: str) -> list[tuple[bytes, bytes]]:
        """Give the header fields of an answer to the key: what it may do, and what is left of it.

        In `RateLimit`, `r` requests are left, and after `t` seconds there is at least one more.
        """
        tokens = self._tokens(key_id, self._clock.monotonic_s())
        left = math.floor(tokens)
        more_s = 0 if left >= self._limit else max(1, math.ceil((left + 1 - tokens) * 60 / self._limit))
        return [
            (b"ratelimit-policy", f'"{POLICY}";q={self._limit};w=60'.encode()),
            (b"ratelimit", f'"{POLICY}";r={left};t={more_s}'.encode()),
        ]

    def _tokens(self, key_id: str, now_s: float) -> float:
        left, at_s = self._buckets.get(key_id, (float(self._limit), now_s))
        return min(self._limit, left + (now_s - at_s) * self._limit / 60)

    def _forget_full(self, now_s: float) -> None:
        """Drop what says nothing: a full bucket is the same as none."""
        self._buckets = {
            key_id: bucket for key_id, bucket in self._buckets.items() if self._tokens(key_id, now_s) < self._limit
        }
