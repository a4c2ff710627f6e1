"""The sign-in sessions of one process."""

import threading

from adtally.registry.port import OpenSession


class MemorySessions:
    """Implements registry.port.SessionStore. Nothing that is written down can be used to sign in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, OpenSession] = {}
        """By the token's hash, the oldest first."""

    def add(self, session: OpenSession, now_ms: int, of_key_max: int, all_max: int) -> None:
        """Keep a session; see the port."""
        with self._lock:
            self._open = {name: kept for name, kept in self._open.items() if now_ms < kept.ends_ms}
            own = [name for name, kept in self._open.items() if kept.key_id == session.key_id]
            if len(own) >= of_key_max:
                del self._open[own[0]]
            if len(self._open) >= all_max:
                del self._open[next(iter(self._open))]
            self._open[session.token_hash] = session

    def key_id(self, token_hash: str, now_ms: int) -> str | None:
        """Give the key of a session; see the port."""
        found = self._open.get(token_hash)
        return found.key_id if found is not None and now_ms < found.ends_ms else None

    def remove(self, token_hash: str) -> None:
        """End a session; see the port."""
        with self._lock:
            self._open.pop(token_hash, None)
