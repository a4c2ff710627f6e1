"""What the live cells of one partition must be, where a partition is read in its own order: the rule itself.

It is a function of the whole log and of nothing else, written another way than any engine that follows it: each record
is held against all records before it, with nothing to forget and nothing to expire.

1. The log's time at a record is the greatest append time up to it. It never goes back, even where a new leader's clock
   lags behind the old one's.
2. An event is live if its time is at most `lateness_ms` behind and at most `ahead_ms` ahead of the log's time at its
   record. All others are as if they were not there: the recount counts them.
3. A live event whose (edge_id, seq) a live event before it has is the same event again (a producer's or a spool's
   repetition) and is as if it was not there. Copies of an event have one content.
4. Of what is left, an `ok` event is a duplicate if the newest (by `ts_ms`) of the `ok` events of its click before it
   lies less than `window_ms` from it, before or after; else it is counted. Others are what their verdict says.

As long as lateness and ahead together are shorter than the window, as they are by default, the fourth rule says the
same as "if any `ok` event of its click before it lies less than the window from it".
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from adtally.counting import AHEAD_MS, DEDUP_WINDOW_MS, LATENESS_MS
from adtally.event import Event
from support.counts import Cell, Counts


class Logged(NamedTuple):
    """One event of a partition: where it stands, and when it was appended."""

    offset: int
    appended_ms: int
    event: Event


class Judged(NamedTuple):
    """What becomes of one event: its outcome, or `late` (rule 2), or `repeat` (rule 3)."""

    logged: Logged
    outcome: str


def judged(
    partition: Iterable[Logged],
    window_ms: int = DEDUP_WINDOW_MS,
    lateness_ms: int = LATENESS_MS,
    ahead_ms: int = AHEAD_MS,
) -> list[Judged]:
    """Judge each event of a partition, in the order of its offsets."""
    log = sorted(partition, key=lambda logged: logged.offset)
    found: list[Judged] = []
    for place, logged in enumerate(log):
        log_ms = max(other.appended_ms for other in log[: place + 1])
        before = [other.logged.event for other in found if other.outcome not in {"late", "repeat"}]
        found.append(Judged(logged, _outcome(logged.event, log_ms, before, window_ms, lateness_ms, ahead_ms)))
    return found


def live_cells(
    partition: Iterable[Logged],
    window_ms: int = DEDUP_WINDOW_MS,
    lateness_ms: int = LATENESS_MS,
    ahead_ms: int = AHEAD_MS,
) -> Counts:
    """Give the live cells of one partition: of each its count, and the users of counted clicks."""
    users: dict[Cell, list[str]] = defaultdict(list)
    for (_, _, event), outcome in judged(partition, window_ms, lateness_ms, ahead_ms):
        if outcome not in {"late", "repeat"}:
            minute_s = event.ts_ms // 60_000 * 60
            cell = (event.advertiser_id, event.campaign_id, event.ad_id, minute_s, event.device, outcome)
            users[cell].append(event.user_id)
    return {cell: (len(some), frozenset(some if cell[-1] == "counted" else ())) for cell, some in users.items()}


def together(partitions: Iterable[Counts]) -> Counts:
    """Add up the cells of several partitions, as the live table adds up shards."""
    clicks: dict[Cell, int] = defaultdict(int)
    users: dict[Cell, frozenset[str]] = defaultdict(frozenset)
    for cells in partitions:
        for cell, (number, some) in cells.items():
            clicks[cell] += number
            users[cell] |= some
    return {cell: (number, users[cell]) for cell, number in clicks.items()}


def _outcome(
    event: Event, log_ms: int, before: Sequence[Event], window_ms: int, lateness_ms: int, ahead_ms: int
) -> str:
    if not log_ms - lateness_ms <= event.ts_ms <= log_ms + ahead_ms:
        return "late"
    if any((other.edge_id, other.seq) == (event.edge_id, event.seq) for other in before):
        return "repeat"
    if event.verdict != "ok":
        return event.verdict
    times = [other.ts_ms for other in before if other.verdict == "ok" and _click(other) == _click(event)]
    return "duplicate" if times and abs(event.ts_ms - max(times)) < window_ms else "counted"


def _click(event: Event) -> tuple[str, str, str | None, int | None]:
    minute = event.ts_ms // 60_000 if event.impression_id is None else None
    return event.ad_id, event.user_id, event.impression_id, minute
