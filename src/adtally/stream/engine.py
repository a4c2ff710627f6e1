"""Counts events as they come, by the rules of design section 3.

What becomes of an event is a function of the log alone: of the events before it within one deduplication window, and of
the time of its append. No clock is read here, and nothing depends on where the engine began: minutes whose look-back
was not read whole are never handed on (`floor_ms`).
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from adtally.counting import DEDUP_WINDOW_MS, LATENESS_MS, MINUTE_MS, minute_of
from adtally.event import Event
from adtally.olap.port import LiveRows

_Key = tuple[str, str, str, str, str]


class _Cell:
    """One row of the live table that can still grow: its running total, and the users since the last hand-over."""

    __slots__ = ("dirty", "key", "minute_ms", "total", "users")

    def __init__(self, minute_ms: int, key: _Key) -> None:
        self.minute_ms = minute_ms
        self.key = key
        self.total = 0
        self.users: list[str] = []
        self.dirty = False


class Handover:
    """Rows on their way to the store, and what is needed to send them again."""

    def __init__(self, rows: LiveRows, cells: list[_Cell]) -> None:
        self.rows = rows
        self.cells = cells


class Engine:
    """Deduplicates and counts the events of one shard. State is bounded by the window and the lateness."""

    def __init__(self, shard: str, window_ms: int = DEDUP_WINDOW_MS, lateness_ms: int = LATENESS_MS) -> None:
        self._shard: Final = shard
        self._window_ms: Final = window_ms
        self._lateness_ms: Final = lateness_ms
        # The last ok event of each click, and in which order they may be forgotten.
        self._last_ok: dict[str, int] = {}
        self._expiry: deque[tuple[int, list[str]]] = deque()
        self._minutes: dict[int, dict[_Key, _Cell]] = {}
        self._dirty: list[_Cell] = []
        self._log_ms = 0
        self.floor_ms = 0
        """Minutes before this are not handed on."""
        self.ts_ms_max = 0
        self.events = 0
        self.duplicates = 0
        self.late = 0
        self.undelivered = 0
        """Clicks that were counted and not yet handed over."""

    def apply(self, events: Sequence[Event], appended_ms: Sequence[int], log_ms: int) -> None:
        """Take events in their order, each with the time of its append.

        `log_ms` is how far the log has come with them: no later event that is not late is older than this less the
        lateness.
        """
        window, lateness, floor = self._window_ms, self._lateness_ms, self.floor_ms
        last_ok, minutes, dirty = self._last_ok, self._minutes, self._dirty
        ts_max, duplicates, late, counted = self.ts_ms_max, 0, 0, 0
        fresh: list[str] = []
        for event, appended in zip(events, appended_ms, strict=True):
            ts = event.ts_ms
            if appended - ts > lateness:
                late += 1
                continue
            if ts > ts_max:
                ts_max = ts
            minute = ts - ts % MINUTE_MS
            outcome = event.verdict
            if outcome == "ok":
                # counting.click_key, written out: a call would cost a tenth of the loop.
                if event.impression_id is None:
                    click = f"{event.ad_id}\0{event.user_id}\0\1{ts // MINUTE_MS}"
                else:
                    click = f"{event.ad_id}\0{event.user_id}\0{event.impression_id}"
                last = last_ok.get(click)
                if last is None:
                    outcome = "counted"
                    last_ok[click] = ts
                    fresh.append(click)
                else:
                    outcome = "duplicate" if -window < ts - last < window else "counted"
                    if ts > last:
                        last_ok[click] = ts
                    duplicates += outcome == "duplicate"
            if minute < floor:
                continue
            key = (event.advertiser_id, event.campaign_id, event.ad_id, event.device, outcome)
            try:
                cell = minutes[minute][key]
            except KeyError:
                cell = minutes.setdefault(minute, {})[key] = _Cell(minute, key)
            cell.total += 1
            if outcome == "counted":
                cell.users.append(event.user_id)
                counted += 1
            if not cell.dirty:
                cell.dirty = True
                dirty.append(cell)
        self.ts_ms_max = ts_max
        self.events += len(events)
        self.duplicates += duplicates
        self.late += late
        self.undelivered += counted
        self._expire(log_ms, fresh)

    def take_dirty(self, rows_max: int) -> Handover:
        """Give up to `rows_max` cells that changed since they were last taken, as rows with running totals."""
        cells, self._dirty = self._dirty[:rows_max], self._dirty[rows_max:]
        users = []
        for cell in cells:
            cell.dirty = False
            users.append(cell.users)
            self.undelivered -= len(cell.users)
            cell.users = []
        rows = LiveRows(
            advertiser_id=[cell.key[0] for cell in cells],
            campaign_id=[cell.key[1] for cell in cells],
            ad_id=[cell.key[2] for cell in cells],
            minute_s=[cell.minute_ms // 1000 for cell in cells],
            device=[cell.key[3] for cell in cells],
            outcome=[cell.key[4] for cell in cells],
            shard=[self._shard] * len(cells),
            clicks=[cell.total for cell in cells],
            users=users,
        )
        return Handover(rows, cells)

    def take_back(self, handover: Handover) -> None:
        """Take what the store did not take as changed again, to be handed over later."""
        for cell, users in zip(handover.cells, handover.rows.users, strict=True):
            cell.users = users + cell.users
            self.undelivered += len(users)
            if not cell.dirty:
                cell.dirty = True
                self._dirty.append(cell)

    def close_minutes(self) -> None:
        """Forget cells that nothing can change any more. Only right while no handover is on its way."""
        end = self._log_ms - self._lateness_ms - MINUTE_MS
        for minute in [minute for minute in self._minutes if minute < end]:
            if not any(cell.dirty for cell in self._minutes[minute].values()):
                del self._minutes[minute]

    def oldest_open_ms(self) -> int:
        """Give the start of the oldest minute that is still open, or that is not yet in the store."""
        can_still_come = minute_of(self._log_ms - self._lateness_ms)
        return min(min(self._minutes, default=can_still_come), can_still_come)

    @property
    def changed(self) -> int:
        """Number of cells that wait for a handover."""
        return len(self._dirty)

    @property
    def dedup_entries(self) -> int:
        """Number of clicks that are remembered."""
        return len(self._last_ok)

    @property
    def open_cells(self) -> int:
        """Number of cells that are kept."""
        return sum(map(len, self._minutes.values()))

    def _expire(self, log_ms: int, fresh: list[str]) -> None:
        """Forget clicks that no event can be a duplicate of any more: those older than window and lateness."""
        self._log_ms = log_ms
        if fresh:
            self._expiry.append((log_ms, fresh))
        cutoff = log_ms - self._window_ms - self._lateness_ms
        last_ok = self._last_ok
        while self._expiry and self._expiry[0][0] < cutoff:
            _, clicks = self._expiry.popleft()
            kept = [click for click in clicks if last_ok[click] >= cutoff]
            for click in clicks:
                if last_ok[click] < cutoff:
                    del last_ok[click]
            if kept:
                self._expiry.append((log_ms, kept))


def first_whole_minute(bound_ms: int, window_ms: int) -> int:
    """Give the first minute whose look-back of one window lies wholly behind `bound_ms`."""
    return -(-(bound_ms + window_ms) // MINUTE_MS) * MINUTE_MS
