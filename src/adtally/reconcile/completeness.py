"""Up to when hours are complete: everything that was clicked is in the lake, as far as anybody can know. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from adtally.eventlog.port import is_import
from adtally.ledger.port import ArchiveNote, EdgeMark

BEHIND_MS: Final = 300_000
"""An archiver that has not flushed for so long is behind; it flushes about once a minute."""


class Waits(msgspec.Struct, frozen=True):
    """How long hours wait for what; milliseconds (config.ReconcileConfig)."""

    settle_ms: int
    settle_ms_max: int


class Completeness(msgspec.Struct, frozen=True):
    """Hours that end by `through_ms` are complete; `reason` says, for a person, what holds the next one back."""

    through_ms: int
    reason: str
    vanished: tuple[EdgeMark, ...]
    """Edges that never closed their log and were given up for some of these hours: each until its `ts_ms`."""


def completeness(
    notes: Sequence[ArchiveNote], open_edges: Sequence[EdgeMark], counted_ms: int, now_ms: int, waits: Waits
) -> Completeness:
    """Give up to when hours are complete (design section 4).

    In every partition the archiver has passed the log's end as read `settle_ms` after the hour's end; no edge holds
    older events in its spool; no edge that has not closed its log was heard of last before the hour's end; and the live
    count has passed it (`counted_ms`), so that a stream that is behind is not reported as one that lost clicks. The
    last two are waited for up to `settle_ms_max`.
    """
    if not notes:
        return Completeness(0, "the archiver has not reported yet", ())
    slowest = min(notes, key=lambda note: note.passed_ms)
    bounds = [(slowest.passed_ms - waits.settle_ms, _archiver(slowest, now_ms, waits))]
    given_up_ms = now_ms - waits.settle_ms_max
    bounds.append((max(counted_ms, given_up_ms), "waits for the live count"))
    # Imported events are late by definition: whoever wrote them, and went, is waited for by nobody.
    awaited = [mark for mark in open_edges if not is_import(mark.partition)]
    for mark in awaited:
        if mark.oldest_spooled_ts_ms is not None:
            bounds.append((mark.oldest_spooled_ts_ms, f"waits for events in the spool of edge {mark.edge_id}"))
        bounds.append((max(mark.ts_ms, given_up_ms), f"waits for edge {mark.edge_id}, which has not closed its log"))
    through_ms, holder = min(bounds)
    vanished = tuple(mark for mark in awaited if mark.ts_ms < min(through_ms, given_up_ms))
    return Completeness(through_ms, holder, vanished)


def _archiver(slowest: ArchiveNote, now_ms: int, waits: Waits) -> str:
    if now_ms - slowest.passed_ms > BEHIND_MS:
        return f"waits for the archiver in partition {slowest.partition}"
    return f"is complete {waits.settle_ms / 60_000:g} minutes after its end, when the archiver has passed that"
