"""What a pass is asked for, what it does, and what it tells."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from adtally.ledger.port import HourLine, LineKind
from adtally.olap.port import Span
from adtally.reconcile.completeness import Completeness
from adtally.reconcile.worklist import DueHour


class Wanted(msgspec.Struct, frozen=True):
    """What a pass is to do: all that is due, or one hour whatever the ledger says of it."""

    hour_ms: int | None = None
    dry_run: bool = False
    accept_missing: bool = False
    """Publish an hour although events are missing: a person has decided so."""
    verify: bool = False
    """Compare what the store holds with the ledger first, and publish again what it does not hold."""


class PassReport(msgspec.Struct, frozen=True):
    """What a pass found and did."""

    lines: tuple[HourLine, ...]
    republished: tuple[int, ...]
    spans: tuple[Span, ...]
    failures: tuple[str, ...]
    complete_through_ms: int
    waits: str
    """What holds the next hour back."""


class Work:
    """One pass: what it is to do, and what it has done."""

    def __init__(self, wanted: Wanted, complete: Completeness, kind: LineKind, again: set[int]) -> None:
        self.wanted = wanted
        self.complete = complete
        self.kind: LineKind = kind
        self.again = again
        """Hours to be published again even if their numbers are as they were."""
        self.lines: list[HourLine] = []
        self.republished: list[int] = []
        self.spans: list[Span] = []
        self.failures: list[str] = []

    def report(self) -> PassReport:
        """Give what was done."""
        return PassReport(
            tuple(self.lines),
            tuple(self.republished),
            tuple(self.spans),
            tuple(self.failures),
            self.complete.through_ms,
            self.complete.reason,
        )


def hour_name(hour_ms: int) -> str:
    """Give an hour as people write it: 2026-11-23T10."""
    return datetime.fromtimestamp(hour_ms // 1000, UTC).strftime("%Y-%m-%dT%H")


def named(group: Sequence[DueHour]) -> str:
    """Give the hours of a job in a few words."""
    first, last = hour_name(group[0].hour_ms), hour_name(group[-1].hour_ms)
    return first if first == last else f"{first} to {last}"


def told(line: HourLine) -> dict[str, object]:
    """Give what the log says about an hour."""
    return {
        "hour": hour_name(line.hour_ms),
        "state": line.state,
        "revision": line.revision,
        "clicks": line.final.get("counted", 0),
        "keys_differed": line.keys_differed,
        "missing": line.missing,
        "note": line.note,
    }
