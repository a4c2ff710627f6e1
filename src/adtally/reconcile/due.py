"""Finds the hours that are to be recounted, from the lake and the ledger alone."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from adtally.eventlog.port import IMPORT_PREFIX
from adtally.lake.port import LakeFile
from adtally.ledger.port import HourLine, Ledger, Rules
from adtally.reconcile.publication import NO_EVENTS, Publication
from adtally.reconcile.worklist import DueHour, Hours, is_due
from adtally.utc import HOUR_MS, day_of

EMPTY_HOURS_MAX: Final = 35 * 24
"""So far back hours without any event get a line of their own."""


class Finder:
    """Looks at one pass's hours. `end_ms` is the end of the last complete one."""

    def __init__(
        self, ledger: Ledger, publication: Publication, hours: Hours, lines: Mapping[int, HourLine], rules: Rules
    ) -> None:
        self._ledger = ledger
        self._publication = publication
        self._hours = hours
        self._lines = lines
        self._rules = rules

    def hour(self, hour_ms: int) -> DueHour:
        """Give one hour, due or not."""
        return self._hours.hour(hour_ms, self._rules, self._lines.get(hour_ms))

    def files(self, hour_ms: int) -> Sequence[LakeFile]:
        """Give an hour's files as this pass has seen them. Raises LakeError."""
        return self._hours.files(hour_ms)

    def due(self, end_ms: int) -> list[int]:
        """Give the hours before `end_ms` whose files or known losses are not those that the ledger's line is about."""
        lines, present = self._lines, self._hours.present
        candidates = {*present, *(hour_ms for hour_ms, line in lines.items() if line.manifest.events)}
        if lines or present:
            first_ms = max(min([*lines, *present]), end_ms - EMPTY_HOURS_MAX * HOUR_MS)
            candidates.update(range(max(first_ms, max(lines, default=0) + HOUR_MS), end_ms, HOUR_MS))
        return [hour_ms for hour_ms in sorted(candidates) if hour_ms + HOUR_MS <= end_ms and self._is_due(hour_ms)]

    def before_import(self, due: list[int]) -> list[int]:
        """Leave out hours from the first one on that has events of an import: while it goes on, more of them come.

        The hours behind it wait too, for hours get their lines in their order.
        """
        for index, hour_ms in enumerate(due):
            if any(file.name.rpartition("/")[2].startswith(IMPORT_PREFIX) for file in self._hours.files(hour_ms)):
                return due[:index]
        return due

    def whole_days(self, hours_ms: set[int], before_ms: int) -> set[int]:
        """Give all published hours of those days of `hours_ms` that begin before `before_ms`.

        A day is made of the quarter hours of all its hours; where retention has dropped them, all are counted again.
        """
        days = {day_of(hour_ms) for hour_ms in hours_ms if day_of(hour_ms) < before_ms}
        return {hour_ms for hour_ms, line in self._lines.items() if line.revision > 0 and day_of(hour_ms) in days}

    def _is_due(self, hour_ms: int) -> bool:
        hour = self.hour(hour_ms)
        return is_due(hour, self._lines) or self._has_news(hour)

    def _has_news(self, hour: DueHour) -> bool:
        """Tell whether an hour that missed events misses fewer now: their loss may have been noted since."""
        line = hour.line
        if line is None or line.state != "damaged" or line.revision > 0:
            return False
        edges = tuple(self._ledger.edges(hour.hour_ms))
        missing = self._publication.missing(hour.hour_ms, msgspec.structs.replace(NO_EVENTS, edges=edges), {})
        return sum(missing.values()) != line.missing
