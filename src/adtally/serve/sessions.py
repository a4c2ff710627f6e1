"""Sign-in sessions of the page: a random token in a cookie, and here what it stands for.

They are kept in memory: a restart signs everybody out, and nothing that is written down can be used to sign in.
"""

import secrets
import threading
from hashlib import sha256
from typing import Final

import msgspec
from starlette.requests import Request

from adtally.clock import Clock
from adtally.serve.attempts import Attempts
from adtally.serve.auth import KEY_CHARACTERS_MAX, ForbiddenError, KeyRing, UnauthenticatedError

COOKIE: Final = "adt_session"
PAGE_HEADER: Final = "X-Adtally-Page"
LIFETIME_S: Final = 12 * 3600
SESSIONS_MAX: Final = 10_000
SESSIONS_OF_KEY_MAX: Final = 20
"""A key that signs in more often ends its own oldest session, not somebody else's."""

TOKEN_BYTES: Final = 32
_SAFE: Final = ("GET", "HEAD")


class Peer(msgspec.Struct, frozen=True):
    """Where a request came from: the client's address, and the token of its cookie."""

    address: str
    token: str | None

    def __repr__(self) -> str:
        """Give a text without the token, for logs and stack traces."""
        return f"Peer(address={self.address!r})"


class _Session(msgspec.Struct, frozen=True):
    key_id: str
    until_s: float


class Sessions:
    """Opens, finds and ends sessions. Thread-safe. A session lives as long as its key, and at most LIFETIME_S."""

    def __init__(self, keys: KeyRing, clock: Clock, *, secure: bool) -> None:
        self._keys = keys
        self._clock = clock
        self._attempts = Attempts(clock)
        self._lock = threading.Lock()
        self._open: dict[bytes, _Session] = {}
        """By the token's SHA-256, the oldest first."""
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
        """Open a session of a key and give the Set-Cookie header that carries it."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        until_s = self._clock.monotonic_s() + LIFETIME_S
        with self._lock:
            self._make_room(key_id)
            self._open[_digest(token)] = _Session(key_id, until_s)
        return f"{COOKIE}={token}; Max-Age={LIFETIME_S}{self._attributes}"

    def key_id(self, token: str) -> str:
        """Give the id of the key that a session was opened with. Raises UnauthenticatedError where there is none."""
        session = self._open.get(_digest(token))
        if session is None or self._clock.monotonic_s() >= session.until_s:
            raise UnauthenticatedError("you are signed out, or adtally was restarted: sign in again")
        return session.key_id

    def is_valid(self, token: str | None) -> bool:
        """Tell whether a token is that of a session whose key is still valid. Blocks."""
        try:
            return token is not None and self.key_is_valid(self.key_id(token))
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
        """End a session, if there is one, and give the Set-Cookie header that removes its cookie."""
        if token is not None:
            with self._lock:
                self._open.pop(_digest(token), None)
        return f"{COOKIE}=; Max-Age=0{self._attributes}"

    def _make_room(self, key_id: str) -> None:
        now_s = self._clock.monotonic_s()
        self._open = {token: session for token, session in self._open.items() if now_s < session.until_s}
        own = [token for token, session in self._open.items() if session.key_id == key_id]
        if len(own) >= SESSIONS_OF_KEY_MAX:
            del self._open[own[0]]
        if len(self._open) >= SESSIONS_MAX:
            del self._open[next(iter(self._open))]


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


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
