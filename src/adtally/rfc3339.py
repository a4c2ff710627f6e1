"""Times as RFC 3339 writes them, read strictly."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_RFC3339: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)"
    r"(?P<offset>[Zz]|[-+][0-9]{2}:[0-9]{2})?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_rfc3339(text: str) -> int | None:
    """Give a time as UTC epoch milliseconds, rounded down; None for what does not look like a time of RFC 3339.

    Raises ValueError for one without an offset, and for one that is not in the calendar.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    if match["offset"] is None:
        raise ValueError(f"{text!r} has no offset: end it with Z or, for instance, +01:00")
    try:
        at = datetime.fromisoformat(f"{match['date']}T{match['time']}{match['offset'].upper()}")
        return (at - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: {error}") from None
