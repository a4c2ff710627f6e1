"""The counting rules of design section 3, as pure functions that every engine shares."""

from hashlib import blake2b
from typing import Final, Literal
from zlib import crc32

MINUTE_MS: Final = 60_000
DEDUP_WINDOW_MS: Final = 5 * MINUTE_MS
LATENESS_MS: Final = 2 * MINUTE_MS
AHEAD_MS: Final = MINUTE_MS
"""A partition that is read in its own order: events further ahead of the log's time than this are not counted live."""

COUNTING_VERSION: Final = 1
"""Raised whenever these rules change: numbers made under different versions must not be mixed."""

Outcome = Literal["counted", "duplicate", "head", "prefetch", "bot", "paused_ad"]
"""What became of an event: for an `ok` one `counted` or `duplicate`, for any other its verdict."""


def minute_of(ts_ms: int) -> int:
    """Give the start of the minute that `ts_ms` lies in, in epoch milliseconds."""
    return ts_ms - ts_ms % MINUTE_MS


def click_key(ad_id: str, user_id: str, impression_id: str | None, ts_ms: int) -> str:
    """Give what two requests of the same click share, for comparison inside one engine.

    Ids hold no control characters (the edge and the importer refuse them), so a NUL separates them without doubt and a
    minute number after SOH cannot be taken for an impression id.
    """
    if impression_id is None:
        return f"{ad_id}\0{user_id}\0\1{ts_ms // MINUTE_MS}"
    return f"{ad_id}\0{user_id}\0{impression_id}"


def partition_of(ad_id: str, user_id: str, partitions: int) -> int:
    """Give the partition, from 0, in which all clicks of a user on an ad meet.

    CRC-32 (ISO 3309) of `ad_id NUL user_id` modulo their number: a user's duplicates stand in one partition, and a hot
    ad's users are spread over all of them. No client's default may take its place.
    """
    return crc32(f"{ad_id}\0{user_id}".encode()) % partitions


def click_id(ad_id: str, user_id: str, impression_id: str | None, ts_ms: int) -> str:
    """Give the public id of a click: 32 hex digits of BLAKE2b-128 (RFC 7693) over length-prefixed UTF-8.

    With an impression id a click is (ad, user, impression), else (ad, user, minute of `ts_ms`).
    """
    rest = f"m{ts_ms // MINUTE_MS}" if impression_id is None else f"i{impression_id}"
    digest = blake2b(digest_size=16)
    for part in (ad_id, user_id, rest):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.hexdigest()
