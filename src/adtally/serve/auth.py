"""API keys of requests (RFC 6750, Bearer)."""

from hashlib import sha256
from typing import Final

from adtally.clock import Clock
from adtally.errors import AdtallyError
from adtally.registry.port import ApiKey, Registry

REMEMBERED_S: Final = 1.0
"""A revoked key stops within this."""

REMEMBERED_KEYS_MAX: Final = 10_000
KEY_CHARACTERS_MAX: Final = 256


class UnauthenticatedError(AdtallyError):
    """A request without a key, or with one that is not valid."""


class ForbiddenError(AdtallyError):
    """The key is valid, and not allowed to do this."""


class KeyRing:
    """Remembers valid keys for a second, by their SHA-256: the secrets themselves are not kept."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._known: dict[bytes, tuple[ApiKey, float]] = {}

    def remembered(self, key: str) -> ApiKey | None:
        """Give the key's entry if it was looked up within the last second."""
        found = self._known.get(sha256(key.encode()).digest())
        return found[0] if found is not None and self._clock.monotonic_s() < found[1] else None

    def look_up(self, key: str) -> ApiKey:
        """Ask the registry, and remember a valid key. Blocks. Raises UnauthenticatedError."""
        # Before the question: an answer may be older than the moment when it arrives.
        until_s = self._clock.monotonic_s() + REMEMBERED_S
        found = self._registry.find_key(key)
        if found is None:
            raise UnauthenticatedError("this API key is not valid: it may be cut off, or revoked")
        if len(self._known) >= REMEMBERED_KEYS_MAX:
            self._known.clear()
        self._known[sha256(key.encode()).digest()] = (found, until_s)
        return found


def bearer_key(authorization: str | None) -> str:
    """Give the key of an Authorization header. Raises UnauthenticatedError."""
    if authorization is None:
        raise UnauthenticatedError("an API key is needed: send the header `Authorization: Bearer KEY`")
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key or len(key) > KEY_CHARACTERS_MAX or not key.isascii():
        raise UnauthenticatedError("the Authorization header must be `Bearer KEY`, with a whole API key")
    return key
