"""API keys of requests (RFC 6750, Bearer)."""

from hashlib import sha256
from typing import Final

from adtally.clock import Clock
from adtally.errors import AdtallyError
from adtally.registry.port import ApiKey, Registry
from adtally.serve.key_uses import KeyUses

REMEMBERED_S: Final = 1.0
"""A revoked or expired key stops within this, and so do the sessions that it opened."""

REMEMBERED_KEYS_MAX: Final = 10_000
KEY_CHARACTERS_MAX: Final = 256


class UnauthenticatedError(AdtallyError):
    """A request without a key, or with one that is not valid."""


class ForbiddenError(AdtallyError):
    """The key is valid, and not allowed to do this."""


class KeyRing:
    """Remembers valid keys for a second, by their SHA-256 or public id: the secrets themselves are not kept."""

    def __init__(self, registry: Registry, clock: Clock, uses: KeyUses) -> None:
        self._registry = registry
        self._clock = clock
        self._uses = uses
        self._known: dict[bytes | str, tuple[ApiKey, float]] = {}

    def remembered(self, key: str) -> ApiKey | None:
        """Give the key's entry if it was looked up within the last second."""
        return self._fresh(sha256(key.encode()).digest())

    def look_up(self, key: str) -> ApiKey:
        """Ask the registry, and remember a valid key. Blocks. Raises UnauthenticatedError."""
        # Before the question: an answer may be older than the moment when it arrives.
        until_s = self._clock.monotonic_s() + REMEMBERED_S
        found = self._registry.find_key(key, self._clock.now_ms())
        if found is None:
            raise UnauthenticatedError("this API key is not valid: it may be cut off, revoked or expired")
        self._remember(sha256(key.encode()).digest(), found, until_s)
        return found

    def remembered_id(self, key_id: str) -> ApiKey | None:
        """Give the entry of a session's key if it was looked up within the last second."""
        return self._fresh(key_id)

    def look_up_id(self, key_id: str) -> ApiKey:
        """Ask the registry whether a session's key is still valid. Blocks. Raises UnauthenticatedError."""
        until_s = self._clock.monotonic_s() + REMEMBERED_S
        found = self._registry.valid_key(key_id, self._clock.now_ms())
        if found is None:
            raise UnauthenticatedError("the key that you signed in with was revoked or has expired: sign in again")
        self._remember(key_id, found, until_s)
        return found

    def _fresh(self, name: bytes | str) -> ApiKey | None:
        found = self._known.get(name)
        return found[0] if found is not None and self._clock.monotonic_s() < found[1] else None

    def _remember(self, name: bytes | str, key: ApiKey, until_s: float) -> None:
        if len(self._known) >= REMEMBERED_KEYS_MAX:
            self._known.clear()
        self._known[name] = (key, until_s)
        self._uses.note(key.key_id)


def bearer_key(authorization: str | None) -> str:
    """Give the key of an Authorization header. Raises UnauthenticatedError."""
    if authorization is None:
        raise UnauthenticatedError("an API key is needed: send the header `Authorization: Bearer KEY`")
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key or len(key) > KEY_CHARACTERS_MAX or not key.isascii():
        raise UnauthenticatedError("the Authorization header must be `Bearer KEY`, with a whole API key")
    return key
