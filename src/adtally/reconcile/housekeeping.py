"""Keeps the lake in order: finished hours in few files, and raw events no longer than they are wanted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from adtally.clock import Clock
from adtally.config import LakeConfig
from adtally.errors import LakeDamagedError, LakeFileGoneError
from adtally.faultpoint import reach
from adtally.lake.compaction import COMPACTED, compact_hour
from adtally.lake.port import Lake, LakeFile
from adtally.ledger.port import HourLine, Ledger
from adtally.telemetry import log
from adtally.utc import DAY_MS, FOREVER_MS, HOUR_MS, day_of

COMPACT_AFTER_MS: Final = HOUR_MS
"""From an hour's end on: most that comes late has come by then."""

COMPACTION_S_MAX: Final = 20.0
"""Of one pass; what is left is done by the next ones."""


class Housekeeping:
    """For one caller at a time."""

    def __init__(self, lake: Lake, ledger: Ledger, clock: Clock, config: LakeConfig) -> None:
        self._lake = lake
        self._ledger = ledger
        self._clock = clock
        self._config = config

    def compact(self, lines: Mapping[int, HourLine], files_of: Callable[[int], Sequence[LakeFile]], now_ms: int) -> int:
        """Merge the files of final hours; give how many hours were merged. Raises LakeError.

        `files_of` gives an hour's files as the pass has listed them already; what came since is merged by a later one.
        The next pass sees other files, finds the same events in them, and notes that.
        """
        done, begun_s = 0, self._clock.monotonic_s()
        for hour_ms in sorted(lines):
            if lines[hour_ms].state != "final" or hour_ms + HOUR_MS + COMPACT_AFTER_MS > now_ms:
                continue
            files = files_of(hour_ms)
            if len(files) < 2 or all(file.name.rpartition("/")[2].startswith(COMPACTED) for file in files):
                continue
            try:
                done += compact_hour(self._lake, hour_ms).files_before > 0
            except (LakeDamagedError, LakeFileGoneError) as error:
                # Nothing was removed; the next recount says what is wrong.
                log.warning("an hour's files were not merged", hour_ms=hour_ms, error=str(error))
            if self._clock.monotonic_s() - begun_s > COMPACTION_S_MAX:
                break
        return done

    def retain(self, lines: Mapping[int, HourLine], now_ms: int) -> int:
        """Remove raw events that are older than `lake.retention_days`; give how many hours were frozen.

        Only of days that are published whole: from then on their numbers stay as they are.
        """
        if self._config.retention_days == 0:
            return 0
        before_ms = day_of(now_ms - self._config.retention_days * DAY_MS)
        days = {span.start_ms for span in self._ledger.spans("day", 0, FOREVER_MS)}
        frozen = 0
        for hour_ms, line in sorted(lines.items()):
            if hour_ms >= before_ms or line.state != "final" or day_of(hour_ms) not in days:
                continue
            note = "raw events were removed by retention: numbers stay as they are"
            kept = {"keys_differed": 0, "difference": 0, "previous": line.final}
            self._ledger.write(msgspec.structs.replace(line, state="frozen", note=note, **kept))
            reach("retention.frozen")
            self._lake.remove_hour(hour_ms)
            reach("retention.removed")
            frozen += 1
        return frozen
