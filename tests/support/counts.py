"""What the numbers must be: the counting rules over the whole list of events, in plain Python, written another way."""

from collections import defaultdict
from collections.abc import Iterable

from adtally.event import Event
from adtally.olap.port import LiveRows
from adtally.stream.port import LiveFlush

Cell = tuple[str, str, str, int, str, str]
"""advertiser, campaign, ad, minute in epoch seconds, device, outcome"""

Counts = dict[Cell, tuple[int, frozenset[str]]]


def expected_counts(appends: Iterable[tuple[int, Event]], window_ms: int, lateness_ms: int) -> Counts:
    """Judge each event against every other one: quadratic on purpose, with nothing to forget and nothing to expire."""
    on_time = sorted(
        (event.ts_ms, event.edge_id, event.seq, event)
        for appended, event in appends
        if appended <= event.ts_ms + lateness_ms
    )
    clicks = [event for _, _, _, event in on_time]
    counts: dict[Cell, list[str | None]] = defaultdict(list)
    same_click: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for event in clicks:
        outcome, user = event.verdict, None
        if event.verdict == "ok":
            rest = ("i", event.impression_id) if event.impression_id is not None else ("m", str(event.ts_ms // 60_000))
            earlier = same_click[(event.ad_id, event.user_id, *rest)]
            repeated = any(event.ts_ms - ts < window_ms for ts in earlier)
            outcome, user = ("duplicate", None) if repeated else ("counted", event.user_id)
            earlier.append(event.ts_ms)
        minute_s = event.ts_ms // 60_000 * 60
        cell = (event.advertiser_id, event.campaign_id, event.ad_id, minute_s, event.device, outcome)
        counts[cell].append(user)
    return {cell: (len(users), frozenset(u for u in users if u is not None)) for cell, users in counts.items()}


class MemoryLive:
    """The live table's rules, in memory: counts under max, users under union, then a sum over shards."""

    def __init__(self) -> None:
        self.clicks: dict[tuple[Cell, str], int] = defaultdict(int)
        self.users: dict[Cell, set[str]] = defaultdict(set)

    def append(self, rows: LiveRows) -> None:
        for index in range(len(rows)):
            cell = (
                rows.advertiser_id[index],
                rows.campaign_id[index],
                rows.ad_id[index],
                rows.minute_s[index],
                rows.device[index],
                rows.outcome[index],
            )
            key = (cell, rows.shard[index])
            self.clicks[key] = max(self.clicks[key], rows.clicks[index])
            self.users[cell].update(rows.users[index])

    def counts(self) -> Counts:
        totals: dict[Cell, int] = defaultdict(int)
        for (cell, _), clicks in self.clicks.items():
            totals[cell] += clicks
        return {cell: (total, frozenset(self.users[cell])) for cell, total in totals.items()}


class InstantPump:
    """Implements Pump: stores each flush at once, or, told so by the test, loses, repeats or withholds deliveries."""

    def __init__(self, live: MemoryLive) -> None:
        self.live = live
        self.as_of_ms = 0
        self.fates: list[str] = []
        """Of the deliveries to come: ok, lost (not stored, failed), unsure (stored, but reported as failed)."""
        self._result: bool | None = None

    def start(self, flush: LiveFlush) -> None:
        fate = self.fates.pop() if self.fates else "ok"
        if fate != "lost":
            self.live.append(flush.rows)
        if fate == "ok":
            self.as_of_ms = max(self.as_of_ms, flush.report.as_of_ms)
        self._result = fate == "ok"

    def finished(self) -> bool | None:
        result, self._result = self._result, None
        return result
