"""Ranges of time that may be asked for."""

from typing import Annotated, Final, Protocol
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from adtally.buckets import Granularity, bucket_end
from adtally.counting import MINUTE_MS
from adtally.errors import InvalidValueError
from adtally.serve.values import Id, Instant, rfc3339

EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01T00:00:00Z. Nothing was counted before; and since then every offset has been whole minutes."""

UTC: Final = ZoneInfo("UTC")

Start = Annotated[
    Instant,
    Meta(
        description="Included. RFC 3339 with an offset, or epoch seconds. Ranges consist of whole minutes: a start "
        "inside a minute takes that minute in, and so does an end.",
        examples=["2026-11-23T10:00:00Z"],
    ),
]
End = Annotated[
    Instant,
    Meta(description="Not included. Not after tomorrow.", examples=["2026-11-23T11:00:00Z"]),
]
Grain = Annotated[Granularity, Meta(description="Length of the buckets. Weeks begin on Monday (ISO 8601).")]
Zone = Annotated[
    ZoneInfo,
    Meta(
        description="IANA time zone. It decides where hours, days, weeks and months begin.", examples=["Europe/Berlin"]
    ),
]
AdId = Annotated[Id, Meta(examples=["ad_123"])]
AdvertiserId = Annotated[Id, Meta(examples=["acme"])]


class Range(msgspec.Struct, frozen=True):
    """Whole minutes, [start_ms, end_ms)."""

    start_ms: int
    end_ms: int


class Ranged(Protocol):
    """Parameters that name a range of time."""

    @property
    def start(self) -> Instant:
        """Give where it begins, in UTC epoch milliseconds."""
        ...

    @property
    def end(self) -> Instant:
        """Give where it ends."""
        ...


def asked_range(params: Ranged) -> Range:
    """Give the range as it was asked for: not checked, and not rounded to whole minutes."""
    return Range(params.start, params.end)


def whole_minutes(
    start_ms: int, end_ms: int, now_ms: int, granularity: Granularity = "minute", zone: ZoneInfo = UTC
) -> Range:
    """Give the smallest range of whole minutes that holds [start_ms, end_ms).

    Raises InvalidValueError for a range that is reversed, empty, begins before 2000, or ends after both tomorrow and
    the bucket that holds now: this month or this week may be asked for as a whole.
    """
    if start_ms < EARLIEST_MS:
        raise InvalidValueError("start", f"{rfc3339(start_ms)} lies before 2000")
    if end_ms <= start_ms:
        raise InvalidValueError("end", "must be later than start")
    tomorrow_ends_ms = bucket_end(bucket_end(now_ms, "day", zone), "day", zone)
    latest_ms = max(tomorrow_ends_ms, bucket_end(now_ms, granularity, zone))
    if end_ms > latest_ms:
        raise InvalidValueError("end", f"lies after tomorrow: the latest is {rfc3339(latest_ms, zone)}")
    return Range(start_ms - start_ms % MINUTE_MS, -(-end_ms // MINUTE_MS) * MINUTE_MS)
