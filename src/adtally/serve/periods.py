"""The period before a period, for comparisons in which both have had the same time. Pure; times are epoch ms.

- A range of whole days of the zone, n of them, is compared with the n days before it, and one of whole months with as
  many months before it: days differ in length where a clock is changed, and months do.
- Any other range is compared with the adjoining one of the same length.
- Of a range that has not ended, only what has elapsed is compared, with what had elapsed of the other period at that
  point: the days before today as wholes, today with the same part of its counterpart.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from adtally.buckets import date_begins_ms
from adtally.counting import MINUTE_MS
from adtally.errors import InvalidValueError
from adtally.serve.ranges import EARLIEST_MS, Range

NOW_SLACK_MS = 2 * MINUTE_MS
"""An end so near to now means now: other clocks are not ours, and requests take time."""


class Periods(msgspec.Struct, frozen=True):
    """A period as far as it has elapsed, and its counterpart. One that has not begun is empty, as is the other."""

    current: Range
    previous: Range
    zone: ZoneInfo
    first_day: date | None
    """Of a current period of whole days; None where both are only spans of time."""
    first_day_before: date | None

    def counterpart_ms(self, ts_ms: int) -> int:
        """Give the instant of the previous period that stands for one of the current: never decreasing.

        Days stand for days, and what has passed of a day for as much of the other. A day that the previous period does
        not have (31 against 30) stands at its end.
        """
        if self.first_day is None or self.first_day_before is None:
            return self.previous.start_ms + ts_ms - self.current.start_ms
        day = _day_of(ts_ms, self.zone)
        before = self.first_day_before + (day - self.first_day)
        passed_ms = ts_ms - date_begins_ms(day, self.zone)
        ends_ms = date_begins_ms(before + timedelta(days=1), self.zone)
        return min(date_begins_ms(before, self.zone) + passed_ms, ends_ms, self.current.start_ms)


def periods_of(asked: Range, zone: ZoneInfo, now_ms: int, counted_ms: int) -> Periods:
    """Give what to compare where a range of whole minutes was asked for.

    Elapsed is what lies before `counted_ms`, up to which everything is counted, in whole minutes. Raises
    InvalidValueError where the previous period would begin before 2000.
    """
    elapsed_ms = max(asked.start_ms, min(asked.end_ms, counted_ms - counted_ms % MINUTE_MS))
    current = Range(asked.start_ms, elapsed_ms)
    days = _whole_days(asked, zone, now_ms)
    if days is None:
        first_day = first_day_before = None
        start_ms = asked.start_ms - (asked.end_ms - asked.start_ms)
    else:
        first_day, first_day_before = days[0], _before(*days)
        start_ms = date_begins_ms(first_day_before, zone)
    if start_ms < EARLIEST_MS:
        raise InvalidValueError("start", "the period before it would begin before 2000")
    periods = Periods(current, Range(start_ms, asked.start_ms), zone, first_day, first_day_before)
    if elapsed_ms < asked.end_ms or (days is not None and elapsed_ms < date_begins_ms(days[1], zone)):
        periods = msgspec.structs.replace(periods, previous=Range(start_ms, periods.counterpart_ms(elapsed_ms)))
    return periods


def _whole_days(asked: Range, zone: ZoneInfo, now_ms: int) -> tuple[date, date] | None:
    """Give the first day of a range of whole days and the day behind its last; a day that is now is taken as whole."""
    first, last = _day_of(asked.start_ms, zone), _day_of(asked.end_ms - 1, zone)
    after = last + timedelta(days=1)
    begins = date_begins_ms(first, zone) == asked.start_ms
    ends = date_begins_ms(after, zone) == asked.end_ms or abs(asked.end_ms - now_ms) <= NOW_SLACK_MS
    return (first, after) if begins and ends else None


def _before(first: date, after: date) -> date:
    """Give the first day of the period before the days from `first` to the one before `after`."""
    if first.day == after.day == 1:
        months = (after.year - first.year) * 12 + after.month - first.month
        month = first.year * 12 + first.month - 1 - months
        return date(month // 12, month % 12 + 1, 1)
    return first - (after - first)


def _day_of(ts_ms: int, zone: ZoneInfo) -> date:
    day = datetime.fromtimestamp(ts_ms // 1000, zone).date()
    # Where the clock is put back over midnight, the day that has begun goes on.
    following = day + timedelta(days=1)
    return following if date_begins_ms(following, zone) <= ts_ms else day
