"""What a recounted hour means for what was said of it before. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from adtally.ledger.port import EdgeEvents, HourLine, Rules
from adtally.reconcile.port import HourCount

NAMED_MAX = 5
"""So many edges are named in a note; more are counted."""


class Judgement(msgspec.Struct, frozen=True):
    """`publish`: the recounted numbers take the place of the old ones. `same`: they are the old ones.

    `damaged`: events are gone that were there, or that must have been; `note` says which.
    """

    kind: str
    note: str = ""


PUBLISH = Judgement("publish")
SAME = Judgement("same")


def judge(
    count: HourCount,
    missing: Mapping[str, int],
    line: HourLine | None,
    known_edges: Sequence[EdgeEvents],
    rules: Rules,
    accept_missing: bool,
) -> Judgement:
    """Hold a recounted hour against the ledger's newest line and the edges' events that it was made of.

    What was counted once and is gone is an alarm, never a correction, unless a person accepts it.
    """
    counted_before = line is not None and line.revision > 0
    if not accept_missing:
        gone = _gone(count.edges, known_edges) if counted_before else {}
        if gone:
            return Judgement("damaged", f"events that were counted are no longer in the lake: {_named(gone)}")
        if counted_before and line is not None and count.manifest.window_events < line.manifest.window_events:
            return Judgement("damaged", "events of the look-back before this hour are no longer in the lake")
        accepted = line.missing if counted_before and line is not None else 0
        if sum(missing.values()) > accepted:
            return Judgement("damaged", f"edges gave numbers whose events are not in the lake: {_named(missing)}")
    unchanged = line is not None and line.state == "final" and (line.manifest, line.rules) == (count.manifest, rules)
    return SAME if counted_before and unchanged else PUBLISH


def _gone(found: Sequence[EdgeEvents], known: Sequence[EdgeEvents]) -> dict[str, int]:
    """Give by edge how many events fewer there are; at least 1 where others stand in their place."""
    now = {edge.edge_id: edge for edge in found}
    gone = {}
    for before in known:
        there = now.get(before.edge_id)
        if there is None or there.events < before.events:
            gone[before.edge_id] = before.events - (there.events if there is not None else 0)
        elif there.events == before.events and there.hash != before.hash:
            gone[before.edge_id] = 1
    return gone


def _named(numbers: Mapping[str, int]) -> str:
    named = ", ".join(f"{number:,} of edge {edge_id}" for edge_id, number in sorted(numbers.items())[:NAMED_MAX])
    more = len(numbers) - NAMED_MAX
    return named + (f" and of {more} more edges" if more > 0 else "")
