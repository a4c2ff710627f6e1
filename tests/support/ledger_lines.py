"""Lines of the ledger, where a test cares about a few of their fields."""

from typing import Any

from adtally.counting import COUNTING_VERSION, DEDUP_WINDOW_MS, LATENESS_MS
from adtally.event import VERDICTS
from adtally.ledger.port import HourLine, Manifest, Rules
from adtally.olap.port import CellDifference

HOUR_MS = 3_600_000
RULES = Rules(DEDUP_WINDOW_MS, LATENESS_MS, VERDICTS, COUNTING_VERSION)


def line(hour_ms: int, **fields: Any) -> HourLine:
    given: dict[str, Any] = {
        "state": "final",
        "revision": 1,
        "manifest": Manifest(10, "a0", 3, "b1"),
        "files": "f0",
        "previous": {"counted": 7, "bot": 1},
        "final": {"counted": 8, "duplicate": 1, "bot": 1},
        "keys_differed": 0,
        "difference": 0,
        "missing": 0,
        "late": 0,
        "rules": RULES,
        "engine": "chdb 26.9",
        "started_ms": hour_ms + HOUR_MS,
        "finished_ms": hour_ms + HOUR_MS + 1_500,
    }
    return HourLine(hour_ms=hour_ms, **{**given, **fields})


def cell(number: int) -> CellDifference:
    return CellDifference("acme", "spring", f"ad_{number:07}", 1_795_780_800, "mobile", "counted", number, number + 1)
