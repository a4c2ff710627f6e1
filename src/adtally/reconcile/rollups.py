"""Days and months from the hours below them, retention, and whether the store still holds what was published."""

from collections.abc import Iterable, Mapping

from adtally.config import ReconcileConfig
from adtally.faultpoint import reach
from adtally.ledger.port import HourLine, Ledger
from adtally.olap.cells import partition_end, partition_of
from adtally.olap.port import Grain, OlapWriter, Span
from adtally.telemetry import log
from adtally.utc import DAY_MS, FOREVER_MS, HOUR_MS, day_of, month_after, month_of


class Rollups:
    """Keeps the day and month tables in step with the hours. For one caller at a time."""

    def __init__(self, ledger: Ledger, writer: OlapWriter, config: ReconcileConfig) -> None:
        self._ledger = ledger
        self._writer = writer
        self._config = config

    def publish(self, lines: Mapping[int, HourLine], complete_ms: int) -> list[Span]:
        """Publish every complete day and month that has none or an outdated one; give what was published.

        A day is made of quarter hours only while all of them are there: else it stays as it is.
        """
        days = {day_of(hour_ms) for hour_ms, line in lines.items() if line.revision > 0}
        have = self._starts("day")
        published = []
        for day_ms in sorted(days - have):
            end_ms = day_ms + DAY_MS
            if not _settled(lines, day_ms, end_ms, complete_ms):
                continue
            if self._held("quarter_hour", day_ms, end_ms) != _events(lines, day_ms, end_ms):
                log.error("a day is not made anew: its quarter hours are not all there", day_ms=day_ms)
                continue
            published.append(self._note(self._writer.publish_day(day_ms)))
            have.add(day_ms)
        months = {month_of(day_ms) for day_ms in days} - self._starts("month")
        for month_ms in sorted(months):
            end_ms = month_after(month_ms)
            wanted = {day_ms for day_ms in days if month_ms <= day_ms < end_ms}
            whole = wanted <= have and _settled(lines, month_ms, end_ms, complete_ms)
            if whole and self._held("day", month_ms, end_ms) == _events(lines, month_ms, end_ms):
                published.append(self._note(self._writer.publish_month(month_ms)))
        return published

    def retain(self, lines: Mapping[int, HourLine], now_ms: int) -> None:
        """Drop what is past its retention: live minutes some days after they are final, minutes, quarter hours."""
        unsettled = [hour_ms for hour_ms, line in lines.items() if line.revision == 0]
        last_ms = max(lines, default=0)
        live_until_ms = min([now_ms - self._config.live_days * DAY_MS, last_ms + HOUR_MS, *unsettled])
        self._writer.drop_live_before(live_until_ms)
        self._writer.drop_final_before("minute", now_ms - self._config.minute_days * DAY_MS)
        self._writer.drop_final_before("quarter_hour", now_ms - self._config.quarter_hour_days * DAY_MS)

    def lost(self, lines: Mapping[int, HourLine], now_ms: int) -> set[int]:
        """Give the hours whose minutes or quarter hours the store does not hold as the ledger says.

        Days and months that it does not hold as said are forgotten, so that `publish` makes them anew.
        """
        # Not of the partition that retention may drop meanwhile.
        minutes_from_ms = partition_end("minute", partition_of("minute", now_ms - self._config.minute_days * DAY_MS))
        hours = {start for start in self._mismatches("minute", minutes_from_ms) if start in lines}
        quarter_hours_from_ms = day_of(now_ms - self._config.quarter_hour_days * DAY_MS) + DAY_MS
        for day_ms in self._mismatches("quarter_hour", quarter_hours_from_ms):
            hours |= {hour_ms for hour_ms in range(day_ms, day_ms + DAY_MS, HOUR_MS) if hour_ms in lines}
        grains: tuple[Grain, ...] = ("day", "month")
        for grain in grains:
            wrong = self._mismatches(grain, 0)
            if wrong:
                if grain == "day":
                    hours |= _without_quarter_hours(wrong, lines, quarter_hours_from_ms)
                log.error(
                    "published numbers are not what the ledger says: made anew", grain=grain, partitions=len(wrong)
                )
                self._ledger.forget_spans(grain, sorted(wrong))
        if hours:
            log.error("published hours are not what the ledger says: made anew", hours=len(hours))
        return {hour_ms for hour_ms in hours if lines[hour_ms].revision > 0}

    def _held(self, grain: Grain, start_ms: int, end_ms: int) -> int:
        return sum(span.events for span in self._writer.spans(grain, start_ms, end_ms))

    def _mismatches(self, grain: Grain, from_ms: int) -> set[int]:
        said = _by_start(self._ledger.spans(grain, from_ms, FOREVER_MS))
        held = _by_start(self._writer.spans(grain, from_ms, FOREVER_MS))
        return {start for start in said.keys() | held.keys() if said.get(start, (0, 0)) != held.get(start, (0, 0))}

    def _starts(self, grain: Grain) -> set[int]:
        return {span.start_ms for span in self._ledger.spans(grain, 0, FOREVER_MS)}

    def _note(self, span: Span) -> Span:
        self._ledger.note_spans([span])
        reach(f"reconcile.{span.grain}_noted")
        return span


def _by_start(spans: Iterable[Span]) -> dict[int, tuple[int, int]]:
    return {span.start_ms: (span.rows, span.events) for span in spans}


def _events(lines: Mapping[int, HourLine], start_ms: int, end_ms: int) -> int:
    """Give the events of a range's hours, as the ledger says."""
    hours = (lines[hour_ms] for hour_ms in range(start_ms, end_ms, HOUR_MS) if hour_ms in lines)
    return sum(sum(line.final.values()) for line in hours)


def _without_quarter_hours(days: Iterable[int], lines: Mapping[int, HourLine], before_ms: int) -> set[int]:
    """Give the hours of days whose quarter hours retention has dropped: only a recount makes such days anew."""
    old = {day_ms for day_ms in days if day_ms < before_ms}
    return {hour_ms for hour_ms in lines if day_of(hour_ms) in old}


def _settled(lines: Mapping[int, HourLine], start_ms: int, end_ms: int, complete_ms: int) -> bool:
    """Tell whether all hours of a range are complete and published, those with a line at least."""
    if end_ms > complete_ms:
        return False
    hours = range(start_ms, end_ms, HOUR_MS)
    return all(lines[hour_ms].revision > 0 for hour_ms in hours if hour_ms in lines)
