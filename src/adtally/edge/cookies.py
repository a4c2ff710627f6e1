"""The first-party cookie that tells anonymous people apart (design section 3)."""

import re
import secrets
from typing import Final

from adtally.edge.cache import FifoCache

COOKIE_NAME: Final = "adt_uid"
COOKIE_AGE_S: Final = 395 * 86_400
SAME_PERSON_MS: Final = 2_000
"""A double click outruns Set-Cookie; within this time the same person gets the same new id."""

_RECENT_MAX: Final = 65_536
_COOKIE: Final = re.compile(rb"(?:^|;)[ \t]*adt_uid=([0-9a-f]{32})[ \t]*(?:;|$)")


def cookie_user(header: bytes) -> str | None:
    """Find our id in a Cookie header; a value that we cannot have given counts as none."""
    match = _COOKIE.search(header)
    return match[1].decode("ascii") if match else None


class NewUsers:
    """Gives ids to people without one. Addresses are held in memory for comparison only, in a bounded table."""

    def __init__(self, *, secure: bool) -> None:
        self._recent: FifoCache[tuple[str, str, bytes], tuple[str, int]] = FifoCache(_RECENT_MAX)
        self._attributes = f"; Max-Age={COOKIE_AGE_S}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"

    def user_for(self, ad_id: str, address: str, user_agent: bytes, ts_ms: int) -> str:
        """Give the new id of the same (ad, address, user agent) less than 2 s ago, else a fresh one: 32 hex digits."""
        key = (ad_id, address, user_agent)
        known = self._recent.get(key)
        if known is not None and 0 <= ts_ms - known[1] < SAME_PERSON_MS:
            return known[0]
        user_id = secrets.token_hex(16)
        self._recent.pop(key, None)
        self._recent.remember(key, (user_id, ts_ms))
        return user_id

    def set_cookie_line(self, user_id: str) -> bytes:
        """Give the Set-Cookie header line, with its line end."""
        return f"Set-Cookie: {COOKIE_NAME}={user_id}{self._attributes}\r\n".encode("ascii")
