"""Sign-in sessions of the page: a random token in a cookie, and in a store what it stands for."""

import re
import secrets
from hashlib import sha256
from typing import Final

import msgspec
from starlette.requests import Request

from adtally.clock import Clock
from adtally.registry.port import OpenSession, SessionStore
from adtally.serve.attempts import Attempts
from adtally.serve.auth import KEY_CHARACTERS_MAX, REMEMBERED_S, ForbiddenError, KeyRing, UnauthenticatedError

COOKIE: Final = "adt_session"
PAGE_HEADER: Final = "X-Adtally-Page"
LIFETIME_S: Final = 12 * 3600
SESSIONS_MAX: Final = 10_000
SESSIONS_OF_KEY_MAX: Final = 20
"""A key that signs in more often ends its own oldest session, not somebody else's."""

TOKEN_BYTES: Final = 32
REMEMBERED_MAX: Final = 10_000
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SAFE: Final = ("GET", "HEAD")


class Peer(msgspec.Struct, frozen=True):
    """Where a request came from: the client's address, and the token of its cookie."""

    address: str
    token: str | None

    def __repr__(self) -> str:
        """Give a text without the token, for logs and stack traces."""
        return f"Peer(address={self.address!r})"


class Sessions:
    """Opens, finds and ends sessions. Thread-safe. A session lives as long as its key, and at most LIFETIME_S.

    What was found is believed for a second: so long may a session that another server ended still be valid here.
    """

    def __init__(self, store: SessionStore, keys: KeyRing, clock: Clock, *, secure: bool) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._attempts = Attempts(clock)
        self._known: dict[str, tuple[str, float]] = {}
        self._attributes = "; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")

    def sign_in(self, key: str, address: str) -> str:
        """Give the Set-Cookie header for the holder of a valid key. Blocks.

        Raises UnauthenticatedError, and TooManySignInsError where too many failed from this address.
        """
        self._attempts.begin(address)
        if not key or len(key) > KEY_CHARACTERS_MAX or not key.isascii():
            raise UnauthenticatedError("this is no API key: check that you copied the whole key")
        found = self._keys.look_up(key)
        self._attempts.succeed(address)
        return self.open(found.key_id)

    def open(self, key_id: str) -> str:
        """Open a session of a key and give the Set-Cookie header that carries it. Blocks."""
        token, now_ms = secrets.token_urlsafe(TOKEN_BYTES), self._clock.now_ms()
        session = OpenSession(_digest(token), key_id, now_ms + LIFETIME_S * 1000)
        self._store.add(session, now_ms, SESSIONS_OF_KEY_MAX, SESSIONS_MAX)
        return f"{COOKIE}={token}; Max-Age={LIFETIME_S}{self._attributes}"

    def remembered(self, token: str) -> str | None:
        """Give the id of the key that a session was opened with if it was looked up within the last second."""
        found = self._known.get(_digest(token))
        return found[0] if found is not None and self._clock.monotonic_s() < found[1] else None

    def look_up(self, token: str) -> str:
        """Give the id of the key that a session was opened with. Blocks. Raises UnauthenticatedError without one."""
        digest, until_s = _digest(token), self._clock.monotonic_s() + REMEMBERED_S
        key_id = self._store.key_id(digest, self._clock.now_ms()) if _TOKEN.fullmatch(token) else None
        if key_id is None:
            raise UnauthenticatedError("you are signed out, or adtally was restarted: sign in again")
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[digest] = (key_id, until_s)
        return key_id

    def is_valid(self, token: str | None) -> bool:
        """Tell whether a token is that of a session whose key is still valid. Blocks."""
        try:
            return token is not None and self.key_is_valid(self.look_up(token))
        except UnauthenticatedError:
            return False

    def key_is_valid(self, key_id: str) -> bool:
        """Tell whether a key may open sessions. Blocks."""
        try:
            self._keys.look_up_id(key_id)
        except UnauthenticatedError:
            return False
        return True

    def sign_out(self, token: str | None) -> str:
        """End a session, if there is one, and give the Set-Cookie header that removes its cookie. Blocks."""
        if token is not None:
            self._store.remove(_digest(token))
            self._known.pop(_digest(token), None)
        return f"{COOKIE}=; Max-Age=0{self._attributes}"


def peer_of(request: Request) -> Peer:
    """Give where a request came from."""
    address = "" if request.client is None else request.client.host
    return Peer(address, request.cookies.get(COOKIE))


def refuse_other_sites(request: Request, *, json_is_enough: bool = False) -> None:
    """Raise ForbiddenError for a change that another site's page could have sent with the reader's cookie.

    What asks for a header of its own is asked for in advance by the browser (CORS preflight), and we never allow it.
    The same holds for a body that is declared as JSON.
    """
    if request.method in _SAFE or request.headers.get(PAGE_HEADER) == "1":
        return
    if (
        json_is_enough
        and request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    ):
        return
    raise ForbiddenError(f"a change that a page asks for needs the header `{PAGE_HEADER}: 1`")


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
