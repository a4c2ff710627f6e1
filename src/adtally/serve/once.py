"""Changes that are asked for twice and made once (draft-ietf-httpapi-idempotency-key-header-07)."""

import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import blake2b, shake_256
from typing import Final

import msgspec

from adtally.clock import Clock
from adtally.errors import InvalidValueError, KeyReusedError, StillRunningError
from adtally.serve.rendering import Rendered, Whole

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
REMEMBERED_S: Final = 86_400.0
ENTRIES_MAX: Final = 10_000
BYTES_MAX: Final = 16 * 1024 * 1024
KEY_CHARACTERS_MAX: Final = 255
SALT_BYTES: Final = 32

_KEY: Final = re.compile(r"[!#-~]+")
_NOT_YET: Final = b""


class Remembered(msgspec.Struct, frozen=True):
    """One change. `sealed` is its answer, _NOT_YET while it is being made."""

    fingerprint: bytes
    until_s: float
    salt: bytes
    sealed: bytes = _NOT_YET


class Once:
    """Remembers the answers to changes for a day, the last `entries_max` of them. Lives in one event loop.

    An answer may hold a secret (a new API key). So it is sealed by the idempotency key that it is asked for with, and
    of that key itself only a salted hash is kept: what is remembered opens to nobody but who asks again.
    """

    def __init__(self, clock: Clock, entries_max: int = ENTRIES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._salt = secrets.token_bytes(SALT_BYTES)
        self._entries: OrderedDict[bytes, Remembered] = OrderedDict()
        """Oldest first."""
        self._bytes = 0

    async def answer(
        self, name: tuple[str, str, str], fingerprint: bytes, make: Callable[[], Awaitable[Rendered]]
    ) -> Rendered:
        """Give the answer of the first request that had this name, or make it.

        `name` is the API key's id, the address and the idempotency key; `fingerprint` tells one request from another.
        Raises KeyReusedError if it is not the same request, StillRunningError if the first is not done, and what
        `make` raises: then nothing is remembered, and the change may be tried again.
        """
        self._forget()
        place = blake2b(msgspec.msgpack.encode(name), key=self._salt).digest()
        found = self._entries.get(place)
        if found is None:
            return await self._make(place, name, fingerprint, make)
        if found.fingerprint != fingerprint:
            raise KeyReusedError(
                f"{IDEMPOTENCY_KEY} {name[2]!r} came with another body before: a new request needs a new key"
            )
        if found.sealed == _NOT_YET:
            raise StillRunningError(
                f"the first request with {IDEMPOTENCY_KEY} {name[2]!r} is not done: repeat this one later"
            )
        return msgspec.msgpack.decode(_sealed(found.sealed, found.salt, name), type=Whole)

    async def _make(
        self, place: bytes, name: tuple[str, str, str], fingerprint: bytes, make: Callable[[], Awaitable[Rendered]]
    ) -> Rendered:
        salt = secrets.token_bytes(SALT_BYTES)
        self._entries[place] = Remembered(fingerprint, self._clock.monotonic_s() + REMEMBERED_S, salt)
        try:
            made = await make()
        except BaseException:
            del self._entries[place]
            raise
        if isinstance(made, Whole):
            sealed = _sealed(msgspec.msgpack.encode(made), salt, name)
            self._entries[place] = msgspec.structs.replace(self._entries[place], sealed=sealed)
            self._bytes += len(sealed)
        return made

    def _forget(self) -> None:
        """Drop what is over, and the oldest where there is too much; never a change that is being made."""
        now_s = self._clock.monotonic_s()
        gone: list[bytes] = []
        for place, entry in self._entries.items():
            full = len(self._entries) - len(gone) >= self._entries_max or self._bytes > self._bytes_max
            if entry.until_s > now_s and not full:
                break
            if entry.sealed != _NOT_YET:
                self._bytes -= len(entry.sealed)
                gone.append(place)
        for place in gone:
            del self._entries[place]


def idempotency_key(given: list[str]) -> str | None:
    """Give the key of the header fields, None without one; with or without the quotes that the draft has.

    Raises InvalidValueError.
    """
    if not given:
        return None
    key = given[0].strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(given) > 1 or len(key) > KEY_CHARACTERS_MAX or not _KEY.fullmatch(key):
        raise InvalidValueError(
            IDEMPOTENCY_KEY, f"must be one key of 1 to {KEY_CHARACTERS_MAX} visible ASCII characters"
        )
    return key


def _sealed(text: bytes, salt: bytes, name: tuple[str, str, str]) -> bytes:
    """Seal or open a text: its exclusive or with a stream that the name and a salt of its own, used once, give."""
    stream = shake_256(salt + msgspec.msgpack.encode(name)).digest(len(text))
    return (int.from_bytes(text) ^ int.from_bytes(stream)).to_bytes(len(text))
