"""API keys: how they look, and how they are kept.

A key is `adt_live_`, 32 random base62 characters and 6 characters of checksum, so that secret scanners find leaked ones
without asking us. The first 10 random characters are its public `key_id`. The remaining 22 hold 131 random bits: no one
guesses them, with any number of hashes a second, so a fast hash is right here. Slow hashes (argon2, bcrypt) protect
secrets that people choose, and would cost each request a tenth of a second.
"""

import hmac
import secrets
import string
import zlib
from hashlib import sha256
from typing import Final

import msgspec

SCHEME: Final = "adt_live_"
ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_CHARACTERS: Final = 32
KEY_ID_CHARACTERS: Final = 10
CHECKSUM_CHARACTERS: Final = 6
KEY_CHARACTERS: Final = len(SCHEME) + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS

_NO_HASH: Final = "0" * 64


class Issued(msgspec.Struct, frozen=True):
    """A new key and what is kept of it."""

    key: str
    key_id: str
    prefix: str
    secret_hash: str
    """SHA-256 of the whole key, 64 hex digits."""

    def __repr__(self) -> str:
        """Give a text without the secret, for logs and stack traces."""
        return f"Issued(key_id={self.key_id!r})"


def issue() -> Issued:
    """Make a key from the system's random source."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    key = SCHEME + body + _checksum(body)
    key_id = body[:KEY_ID_CHARACTERS]
    return Issued(key, key_id, SCHEME + key_id, _hash(key))


def key_id_of(key: str) -> str | None:
    """Give the public id of a key, None where the text is no key (a typing error, or cut off)."""
    if len(key) != KEY_CHARACTERS or not key.startswith(SCHEME) or not key.isascii():
        return None
    body = key[len(SCHEME) : -CHECKSUM_CHARACTERS]
    if _checksum(body) != key[-CHECKSUM_CHARACTERS:]:
        return None
    return body[:KEY_ID_CHARACTERS]


def matches(key: str, secret_hash: str | None) -> bool:
    """Tell whether `key` has this hash; takes the same time for a wrong key as for an unknown one (hash None)."""
    return hmac.compare_digest(_hash(key), secret_hash or _NO_HASH) and secret_hash is not None


def _hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
