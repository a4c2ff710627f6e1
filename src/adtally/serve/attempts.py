"""How often one client address may fail to sign in."""

import ipaddress
import math
import threading
from typing import Final

from adtally.clock import Clock
from adtally.serve.ratelimit import RateLimitedError

FAILURES_PER_MINUTE: Final = 10
ADDRESSES_MAX: Final = 10_000
IPV6_PREFIX_BITS: Final = 64
"""Whoever has one address of IPv6 has all of such a network."""


class TooManySignInsError(RateLimitedError):
    """Too many sign-ins failed from this address."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(FAILURES_PER_MINUTE, retry_after_s)
        self.args = (f"too many sign-ins from your address have failed: try again in {retry_after_s} s",)


class Attempts:
    """Admits a few failures at once and as many in each minute that follows. Thread-safe, of bounded size."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}
        """By network: tokens that were left, and when; the one that was touched longest ago first."""

    def begin(self, address: str) -> None:
        """Take a token before an attempt, so that attempts at the same time count. Raises TooManySignInsError."""
        network, now_s = _network(address), self._clock.monotonic_s()
        with self._lock:
            tokens = self._tokens(network, now_s)
            if tokens < 1:
                raise TooManySignInsError(max(1, math.ceil((1 - tokens) * 60 / FAILURES_PER_MINUTE)))
            self._keep(network, tokens - 1, now_s)

    def succeed(self, address: str) -> None:
        """Give the token of an attempt back."""
        network, now_s = _network(address), self._clock.monotonic_s()
        with self._lock:
            self._keep(network, self._tokens(network, now_s) + 1, now_s)

    def _tokens(self, network: str, now_s: float) -> float:
        left, at_s = self._left.get(network, (float(FAILURES_PER_MINUTE), now_s))
        return min(FAILURES_PER_MINUTE, left + (now_s - at_s) * FAILURES_PER_MINUTE / 60)

    def _keep(self, network: str, tokens: float, now_s: float) -> None:
        self._left.pop(network, None)
        if tokens >= FAILURES_PER_MINUTE:
            return
        if len(self._left) >= ADDRESSES_MAX:
            del self._left[next(iter(self._left))]
        self._left[network] = (tokens, now_s)


def _network(address: str) -> str:
    """Give what shares one budget: an IPv4 address, an IPv6 network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4 or found.ipv4_mapped is not None:
        return str(found)
    return str(ipaddress.ip_network((found, IPV6_PREFIX_BITS), strict=False))
