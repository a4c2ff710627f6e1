"""Values of query parameters that have a form of their own: times, zones, ids. And how times are written."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from adtally.errors import InvalidValueError
from adtally.registry.rules import check_id
from adtally.rfc3339 import parse_rfc3339
from adtally.utc import HOUR_MS

YEARS_MS: Final = (-62_135_596_800_000, 253_402_300_800_000)
"""The years 1 to 9999 of UTC: an offset may lead out of them, to where no time can be written."""

_EPOCH: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_MILLISECONDS: Final = re.compile(r"[0-9]{12,}(\.[0-9]+)?")
_UNESCAPED_OFFSET: Final = re.compile(r"(?<=[0-9]) (?=[0-9]{2}:[0-9]{2}$)")
_HOUR: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}")


class Instant(int):
    """A time, as UTC epoch milliseconds."""

    __slots__ = ()


class Hour(int):
    """A UTC hour, by its start in UTC epoch milliseconds."""

    __slots__ = ()


class Id(str):
    """The id of an ad, an advertiser, a key. The parser gives plain text: encoders know no subclasses."""

    __slots__ = ()


class CampaignKey(str):
    """The id of a campaign, or the empty text under which ads without one stand. The parser gives plain text."""

    __slots__ = ()


class SearchText(str):
    """What ids and names are searched for, or nothing. The parser gives plain text: encoders know no subclasses."""

    __slots__ = ()


def parse_instant(text: str) -> Instant:
    """Give a time from RFC 3339 with an offset, or from epoch seconds. Raises ValueError saying what is wrong."""
    if _EPOCH.fullmatch(text):
        if _MILLISECONDS.fullmatch(text):
            raise ValueError(f"{text!r} looks like milliseconds: give epoch seconds")
        return Instant(int(float(text) * 1000))
    # In a query string an unescaped `+` means a space, and nothing else could stand here.
    at_ms = parse_rfc3339(_UNESCAPED_OFFSET.sub("+", text))
    if at_ms is None or not YEARS_MS[0] <= at_ms < YEARS_MS[1]:
        raise ValueError(f"{text!r} is no time: give RFC 3339 such as 2026-11-23T10:00:00Z, or epoch seconds")
    return Instant(at_ms)


def parse_hour(text: str) -> Hour:
    """Give a UTC hour from 2026-11-23T10, or from any time in it. Raises ValueError saying what is wrong."""
    if _HOUR.fullmatch(text):
        text += ":00:00Z"
    try:
        at_ms = parse_instant(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no hour: give 2026-11-23T10 (UTC), or a time such as 2026-11-23T10:00:00Z"
        ) from None
    return Hour(at_ms - at_ms % HOUR_MS)


def parse_zone(text: str) -> ZoneInfo:
    """Give a time zone by its IANA name. Raises ValueError."""
    names = _zone_names()
    if text in names:
        return ZoneInfo(text)
    by_lower = {name.lower(): name for name in names}
    near = get_close_matches(text.lower(), by_lower, 1)
    hint = f"did you mean {by_lower[near[0]]}?" if near else "give an IANA name such as Europe/Berlin"
    raise ValueError(f"{text!r} is no time zone: {hint}")


def parse_id(text: str) -> str:
    """Give an id. Raises ValueError unless it is 1 to 128 bytes without control characters."""
    try:
        check_id("id", text)
    except InvalidValueError as error:
        raise ValueError(error.reason) from None
    return text


def parse_campaign(text: str) -> str:
    """Give a campaign's id, or the empty one that stands for none. Raises ValueError as `parse_id` does."""
    return parse_id(text) if text else text


def parse_search(text: str) -> str:
    """Give what is searched for. Raises ValueError as `parse_id` does, but for the empty text."""
    return parse_id(text) if text else text


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


PARSERS: Final[Mapping[type, Callable[[str], Any]]] = {
    Instant: parse_instant,
    Hour: parse_hour,
    ZoneInfo: parse_zone,
    Id: parse_id,
    CampaignKey: parse_campaign,
    SearchText: parse_search,
}

SCHEMAS: Final[Mapping[type, dict[str, Any]]] = {
    Instant: {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number", "minimum": 946_684_800, "maximum": 99_999_999_999, "description": "Epoch seconds."},
        ]
    },
    Hour: {"type": "string", "examples": ["2026-11-23T10"]},
    ZoneInfo: {"type": "string", "description": "An IANA time zone."},
    Id: {"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^[^\u0000-\u001f\u007f]+$"},
    CampaignKey: {"type": "string", "maxLength": 128, "pattern": r"^[^\u0000-\u001f\u007f]*$"},
    SearchText: {"type": "string", "maxLength": 128, "pattern": r"^[^\u0000-\u001f\u007f]*$"},
}


def rfc3339(ts_ms: int, zone: ZoneInfo | None = None) -> str:
    """Give a time as RFC 3339: UTC with Z, other zones with their offset; milliseconds only where there are some."""
    if ts_ms % 1000 == 0:
        # Thousands of these make an answer: without a float and a precision they take half the time.
        text = datetime.fromtimestamp(ts_ms // 1000, zone or UTC).isoformat()
    else:
        text = datetime.fromtimestamp(ts_ms / 1000, zone or UTC).isoformat(timespec="milliseconds")
    return text[:-6] + "Z" if zone is None or zone.key == "UTC" else text
