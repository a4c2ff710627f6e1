"""GET /v1/ledger and /v1/ledger/{hour}: what was recounted, what was found, and each key that a correction changed."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from adtally.errors import InvalidValueError, NotFoundError
from adtally.event import VERDICTS
from adtally.ledger.port import CHANGED_KEYS_MAX, HourLine, HourState, LineKind, Rules
from adtally.olap.port import CellDifference
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.ranges import End, Start, whole_minutes
from adtally.serve.reading import read_ledger
from adtally.serve.values import Hour, Instant, rfc3339
from adtally.utc import HOUR_MS

COMMIT_MAX: Final = 1 << 53
"""What JSON's readers can still tell apart."""

Limit = Annotated[int, Meta(ge=1, le=1_000)]


class LedgerParams(msgspec.Struct, frozen=True):
    """Which hours: those that the range touches."""

    start: Start
    end: End
    after: Annotated[Instant | None, Meta(description="The `next` of the page before; nothing for the first.")] = None
    limit: Limit = 100


class HourParams(msgspec.Struct, frozen=True):
    """Which hour, and which of the keys that one of its lines changed."""

    hour: Annotated[Hour, Meta(description="A UTC hour: 2026-11-23T10, or any time in it as RFC 3339.")]
    commit: Annotated[
        int, Meta(ge=0, le=COMMIT_MAX, description="The line whose keys are wanted; 0: the newest that changed some.")
    ] = 0
    after: Annotated[
        int, Meta(ge=0, le=CHANGED_KEYS_MAX, description="The `next` of the page before; 0 for the first.")
    ] = 0
    limit: Limit = 100


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about one hour at one time. Clicks are counted ones; the sums of all outcomes are events."""

    hour: str
    kind: LineKind
    state: HourState
    revision: int
    commit: int
    """Numbers of lines ascend."""
    live: int
    """Clicks as they were before: the live table's for revision 1, else those of the revision before."""
    final: int
    """Clicks as recounted."""
    keys_differed: int
    difference: int
    """Sum over all keys of |new - old|, events of every outcome."""
    received: int
    """Distinct events in the lake: `final`, `duplicates` and the sum of `invalid`."""
    duplicates: int
    invalid: Annotated[dict[str, int], Meta(description="By reason: head, prefetch, bot, paused_ad.")]
    missing: int
    """Numbers that an edge gave and that are neither in the lake nor known to be absent."""
    late: int
    """Events that came too late for the live numbers."""
    previous_outcomes: dict[str, int]
    final_outcomes: dict[str, int]
    engine: str
    rules: Rules
    started: str
    finished: str
    duration_ms: int
    note: str


class LedgerPage(msgspec.Struct, frozen=True):
    """The newest line of each hour, by hour. `next` is what to send as `after` for the next page, null on the last."""

    lines: list[LedgerLine]
    next: str | None
    final_through: str | None


class ChangedKey(msgspec.Struct, frozen=True):
    """A key whose number a line changed. 0 stands for no row."""

    advertiser_id: str
    campaign_id: str
    ad_id: str
    minute: str
    device: str
    outcome: str
    old: int
    new: int


class HourHistory(msgspec.Struct, frozen=True):
    """All lines of an hour, oldest first, and a page of the keys that the line `commit` changed.

    `next` is what to send as `after` for the next page, null on the last.
    """

    hour: str
    lines: list[LedgerLine]
    commit: int
    changed: list[ChangedKey]
    next: int | None


def list_lines(call: Call[LedgerParams, NoBody]) -> LedgerPage:
    """Answer GET /v1/ledger."""
    asked = call.params
    span = whole_minutes(asked.start, asked.end, call.now_ms)
    begin_ms = span.start_ms - span.start_ms % HOUR_MS
    if asked.after is not None:
        begin_ms = max(begin_ms, asked.after + 1)
    reading = read_ledger(call)
    found = call.services.ledger.lines(begin_ms, span.end_ms, asked.limit + 1)
    more = rfc3339(found[asked.limit - 1].hour_ms) if len(found) > asked.limit else None
    return LedgerPage([_shown(line) for line in found[: asked.limit]], more, reading.final_through)


def get_hour(call: Call[HourParams, NoBody]) -> HourHistory:
    """Answer GET /v1/ledger/{hour}."""
    asked = call.params
    ledger = call.services.ledger
    lines = ledger.history(asked.hour)
    if not lines:
        raise NotFoundError(f"the ledger has no line of the hour {rfc3339(asked.hour)}: it was not recounted yet")
    commit = asked.commit or next((line.commit for line in reversed(lines) if line.keys_differed), lines[-1].commit)
    if all(line.commit != commit for line in lines):
        known = ", ".join(str(line.commit) for line in lines)
        raise InvalidValueError("commit", f"{commit} is no line of this hour; its lines are {known}")
    cells = ledger.changed(commit, asked.after, asked.limit + 1)
    return HourHistory(
        hour=rfc3339(asked.hour),
        lines=[_shown(line) for line in lines],
        commit=commit,
        changed=[_changed(cell) for cell in cells[: asked.limit]],
        next=asked.after + asked.limit if len(cells) > asked.limit else None,
    )


def _shown(line: HourLine) -> LedgerLine:
    invalid = {verdict: 0 for verdict in VERDICTS if verdict != "ok"} | dict(line.final)
    counted, duplicates = invalid.pop("counted", 0), invalid.pop("duplicate", 0)
    return LedgerLine(
        hour=rfc3339(line.hour_ms),
        kind=line.kind,
        state=line.state,
        revision=line.revision,
        commit=line.commit,
        live=line.previous.get("counted", 0),
        final=counted,
        keys_differed=line.keys_differed,
        difference=line.difference,
        received=line.manifest.events,
        duplicates=duplicates,
        invalid=invalid,
        missing=line.missing,
        late=line.late,
        previous_outcomes=dict(line.previous),
        final_outcomes=dict(line.final),
        engine=line.engine,
        rules=line.rules,
        started=rfc3339(line.started_ms),
        finished=rfc3339(line.finished_ms),
        duration_ms=line.finished_ms - line.started_ms,
        note=line.note,
    )


def _changed(cell: CellDifference) -> ChangedKey:
    return ChangedKey(
        cell.advertiser_id,
        cell.campaign_id,
        cell.ad_id,
        rfc3339(cell.minute_s * 1000),
        cell.device,
        cell.outcome,
        cell.old,
        cell.new,
    )
