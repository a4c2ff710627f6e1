"""How hours of events are named: `raw/date=YYYY-MM-DD/hour=HH`, in UTC (design section 4)."""

import re
from datetime import UTC, datetime
from typing import Final

TIME_MS_MAX: Final = 253_402_300_800_000
"""The year 10000, where names of days end: no event's time reaches it, and none is negative."""

_NAME: Final = re.compile(r"raw/date=(\d{4}-\d{2}-\d{2})/hour=(\d{2})")


def hour_folder(hour_ms: int) -> str:
    """Give the folder of an hour, relative to the lake's root."""
    return datetime.fromtimestamp(hour_ms / 1000, UTC).strftime("raw/date=%Y-%m-%d/hour=%H")


def parse_hour_folder(folder: str) -> int | None:
    """Give the start of the hour that a folder is named after, None for a folder that is no hour's."""
    match = _NAME.fullmatch(folder)
    if match is None:
        return None
    try:
        start = datetime.strptime(f"{match[1]} {match[2]} +0000", "%Y-%m-%d %H %z")
    except ValueError:
        return None
    return int(start.timestamp()) * 1000
