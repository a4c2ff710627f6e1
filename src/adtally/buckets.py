"""Where the buckets of a time series begin: the one window function of the API, its CSV and the page. Pure.

Times are UTC epoch milliseconds. A zone decides where hours, days, weeks and months begin:

- A minute is a UTC minute; no zone's offset has had seconds since 2000.
- An hour begins at each local whole hour, and wherever the offset changes. In Kathmandu (+05:45) it begins at :15 UTC,
  and an hour that autumn repeats is two buckets.
- A day, a week (ISO 8601, from Monday) and a month begin at the first instant at which the clock on the wall shows its
  date or a later one. So they touch without gaps whatever a government decides: days of 23, 24 and 25 hours, days that
  begin at one o'clock, and no bucket at all for a date that was left out (Apia, 30 December 2011).
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from adtally.counting import MINUTE_MS
from adtally.errors import InvalidValueError
from adtally.utc import HOUR_MS

Granularity = Literal["minute", "hour", "day", "week", "month"]

BUCKETS_MAX: Final = 10_000


class Buckets(msgspec.Struct, frozen=True):
    """Adjoining buckets that cover a range, oldest first."""

    starts_ms: tuple[int, ...]
    """Where each bucket begins, the first one perhaps before the range."""
    edges_ms: tuple[int, ...]
    """What of each bucket lies inside the range: bucket i is [edges_ms[i], edges_ms[i+1]). Empty without buckets."""


def buckets(start_ms: int, end_ms: int, granularity: Granularity, zone: ZoneInfo, now_ms: int) -> Buckets:
    """Give the buckets that [start_ms, end_ms) touches, up to the one that holds `now_ms`.

    Raises InvalidValueError for an empty or reversed range, and for more than BUCKETS_MAX buckets.
    """
    if start_ms >= end_ms:
        raise InvalidValueError("end", "must be later than start")
    if end_ms > now_ms:
        end_ms = min(end_ms, bucket_end(now_ms, granularity, zone))
    if start_ms >= end_ms:
        return Buckets((), ())
    if granularity == "minute":
        minutes = range(start_ms - start_ms % MINUTE_MS, end_ms, MINUTE_MS)
        starts = list(minutes[: BUCKETS_MAX + 1])
    else:
        starts = []
        for begin_ms in _starts(start_ms, granularity, zone):
            if begin_ms >= end_ms or len(starts) > BUCKETS_MAX:
                break
            starts.append(begin_ms)
    if len(starts) > BUCKETS_MAX:
        raise InvalidValueError(
            "end", f"the range has more than {BUCKETS_MAX:,} buckets: shorten it, or take a coarser granularity"
        )
    return Buckets(tuple(starts), (start_ms, *starts[1:], end_ms))


def windows(
    start_ms: int, end_ms: int, granularity: Granularity, zone: ZoneInfo, now_ms: int, number: int
) -> Iterator[Buckets]:
    """Give the same buckets, however many they are, in stretches of `number`."""
    if end_ms > now_ms:
        end_ms = min(end_ms, bucket_end(now_ms, granularity, zone))
    while start_ms < end_ms:
        cut_ms = next(islice(_starts(start_ms, granularity, zone), number, None))
        yield buckets(start_ms, min(cut_ms, end_ms), granularity, zone, now_ms)
        start_ms = cut_ms


def bucket_end(ts_ms: int, granularity: Granularity, zone: ZoneInfo) -> int:
    """Give the end of the bucket that holds `ts_ms`, which is the beginning of the next one."""
    return next(islice(_starts(ts_ms, granularity, zone), 1, None))


def _starts(ts_ms: int, granularity: Granularity, zone: ZoneInfo) -> Iterator[int]:
    """Give the beginnings of the bucket that holds `ts_ms` and of all that follow, without end."""
    if granularity == "minute":
        return _minutes(ts_ms)
    if granularity == "hour":
        return _hours(ts_ms, zone)
    return _dates(ts_ms, granularity, zone)


def _minutes(ts_ms: int) -> Iterator[int]:
    start_ms = ts_ms - ts_ms % MINUTE_MS
    while True:
        yield start_ms
        start_ms += MINUTE_MS


def _hours(ts_ms: int, zone: ZoneInfo) -> Iterator[int]:
    offset_ms = _offset_ms(ts_ms, zone)
    start_ms = ts_ms - (ts_ms + offset_ms) % HOUR_MS
    if _offset_ms(start_ms, zone) != offset_ms:
        start_ms = _change_ms(start_ms, ts_ms, zone)
    while True:
        yield start_ms
        offset_ms = _offset_ms(start_ms, zone)
        next_ms = start_ms + HOUR_MS - (start_ms + offset_ms) % HOUR_MS
        if _offset_ms(next_ms - 1, zone) != offset_ms:
            next_ms = _change_ms(start_ms, next_ms - 1, zone)
        start_ms = next_ms


def _dates(ts_ms: int, granularity: Granularity, zone: ZoneInfo) -> Iterator[int]:
    day = datetime.fromtimestamp(ts_ms // 1000, zone).date()
    if granularity == "week":
        day -= timedelta(days=day.weekday())
    elif granularity == "month":
        day = day.replace(day=1)
    start_ms = date_begins_ms(day, zone)
    while True:
        day = _following(day, granularity)
        end_ms = date_begins_ms(day, zone)
        # The first condition skips dates that were left out; the second, a date to which the clock was put back.
        if end_ms > start_ms and end_ms > ts_ms:
            yield start_ms
        start_ms = end_ms


def _following(day: date, granularity: Granularity) -> date:
    if granularity == "month":
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return day + timedelta(days=7 if granularity == "week" else 1)


def date_begins_ms(day: date, zone: ZoneInfo) -> int:
    """Give the first instant at which the wall clock shows midnight of `day` or something later."""
    # Of a midnight that occurs twice this is the first, and of one that is skipped the instant of the change (PEP 495):
    # since 2000 no clock has been put forward over a midnight except from midnight on.
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000


def _offset_ms(ts_ms: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(ts_ms // 1000, zone).utcoffset() or timedelta()
    return offset // timedelta(milliseconds=1)


def _change_ms(before_ms: int, after_ms: int, zone: ZoneInfo) -> int:
    """Give the first instant of a new offset, where `before_ms` has the old one and `after_ms` the new one."""
    old_ms = _offset_ms(before_ms, zone)
    low_s, high_s = before_ms // 1000, after_ms // 1000
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if _offset_ms(middle_s * 1000, zone) == old_ms:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s * 1000
