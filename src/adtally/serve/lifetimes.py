"""For how long an answer may be kept. Pure."""

from collections.abc import Iterable
from typing import Final

from adtally.serve.finality import Run
from adtally.serve.ranges import Range
from adtally.utc import DAY_MS, HOUR_MS

MOVING_MS: Final = 300_000
"""Numbers so young still change with each click."""

LAST_HOUR_S: Final = 30.0
TODAY_S: Final = 300.0
OLDER_S: Final = 3_600.0
FINAL_S: Final = 86_400.0


def lifetime_s(span: Range, runs: Iterable[Run], now_ms: int, as_of_ms: int | None) -> float:
    """Give the seconds for which an answer about `span` may be kept, 0 if not at all.

    `runs` is what the ledger says of it. A stream that lies behind makes everything after its `as_of_ms` young: those
    numbers change as soon as it catches up.
    """
    if span.end_ms <= now_ms - MOVING_MS and all(run.status == "final" for run in runs):
        return FINAL_S
    counted_ms = now_ms if as_of_ms is None else min(now_ms, as_of_ms)
    if as_of_ms is None or span.end_ms > counted_ms - MOVING_MS:
        return 0.0
    if span.end_ms > now_ms - HOUR_MS:
        return LAST_HOUR_S
    return TODAY_S if span.end_ms > now_ms - now_ms % DAY_MS else OLDER_S
