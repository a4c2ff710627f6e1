"""The one-time link that `adtally up` and `adtally demo` print: made by the supervisor, known here by its hash."""

import hmac
import secrets
import threading
from hashlib import sha256
from typing import Final

import msgspec

from adtally.clock import Clock

PATH: Final = "/sign-in"
LINK_LIFETIME_MS: Final = 600_000
TOKEN_BYTES: Final = 16


class LinkSpec(msgspec.Struct, frozen=True):
    """What the server knows of a link: not the token, which only the one who prints it has."""

    token_hash: str
    """SHA-256 of the token, 64 hex digits."""
    key_id: str
    """Of the key whose session the link opens."""
    expires_ms: int


def make_link(key_id: str, now_ms: int) -> tuple[str, LinkSpec]:
    """Give the path and query of a new link, and what the server is to know of it."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return f"{PATH}?token={token}", LinkSpec(_hash(token), key_id, now_ms + LINK_LIFETIME_MS)


class Link:
    """A link that works once. Thread-safe."""

    def __init__(self, spec: LinkSpec | None, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._lock = threading.Lock()

    def take(self, token: str) -> str | None:
        """Give the id of the key whose session the token opens, this once; None if it opens nothing."""
        with self._lock:
            spec = self._spec
            if spec is None or not hmac.compare_digest(_hash(token), spec.token_hash):
                return None
            self._spec = None
            return spec.key_id if self._clock.now_ms() < spec.expires_ms else None


def _hash(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()
