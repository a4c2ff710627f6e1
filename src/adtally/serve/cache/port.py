"""The cache's contract: bytes by key, for a while. Whoever uses one must be right without it."""

from typing import Final, Protocol


class Cache(Protocol):
    """Keeps values for at most as long as it is told; it may drop any of them at any time. Threads may share it."""

    def get(self, key: bytes) -> bytes | None:
        """Give the value that was put last under `key`, None if there is none any more. Raises CacheError."""
        ...

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keep `value` in place of what was there, for `ttl_s` seconds at most. Raises CacheError."""
        ...


class NoCache:
    """Keeps nothing: the cache where there is none."""

    def get(self, key: bytes) -> bytes | None:  # noqa: ARG002 - the port's names
        """Give None."""
        return None

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Do nothing."""


NO_CACHE: Final = NoCache()
