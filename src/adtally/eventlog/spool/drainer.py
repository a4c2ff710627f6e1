"""Moves what is spooled into the log, as a state machine without threads or sleep."""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from adtally import faultpoint
from adtally.clock import SYSTEM_CLOCK, Clock
from adtally.errors import LogError
from adtally.event import Closing, Control, decode_control, decode_event
from adtally.eventlog.port import LogWriter, Record
from adtally.eventlog.spool.backlog import Backlog
from adtally.eventlog.spool.store import SpoolStore
from adtally.eventlog.sqlite.segment import parse_position
from adtally.telemetry import log

STEP_BYTES: Final = 256 * 1024
"""Moved in one step: about a thousand events, so that fresh clicks wait for none of it."""
IDLE_S: Final = 0.05
PAUSE_S: Final = 0.005
"""Between two steps: what is fresh goes first."""
RETRY_S: Final = 0.25
RETRY_S_MAX: Final = 2.0


class SpoolDrainer:
    """Drains the folders of those that died, and in turn with them that of the edge itself. Used by one thread."""

    def __init__(
        self,
        log_writer: LogWriter,
        own: SpoolStore,
        adopted: Sequence[SpoolStore],
        backlog: Backlog,
        quick_ms: int,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._log = log_writer
        self._own = own
        self._adopted = deque(_Left(store) for store in adopted)
        self._backlog = backlog
        self._quick_s = quick_ms / 1000
        self._clock = clock
        self._failures = 0
        self._trouble = ""
        self._own_next = False

    def step(self, now_ms: int) -> float:
        """Move one portion, if there is any; give how many seconds the next step should wait."""
        if self._backlog.closed:
            return IDLE_S
        adopted = bool(self._adopted) and not self._own_next
        # A folder that cannot be read must not keep back what can be.
        self._own_next = adopted
        try:
            moved = self._drain_adopted(now_ms) if adopted else self._drain_own(now_ms)
        except LogError as error:
            # The next folder's turn comes, whether it is this one that cannot be read or the log that takes nothing.
            self._adopted.rotate(-1 if adopted else 0)
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("what is spooled does not go into the log yet", error=self._trouble)
            self._failures += 1
            return min(RETRY_S_MAX, RETRY_S * float(2 ** min(self._failures - 1, 8)))
        self._failures = 0
        if self._adopted:
            return PAUSE_S
        return PAUSE_S if moved else IDLE_S

    def close(self, now_ms: int) -> None:
        """Let go of the log and of what was adopted: the next start adopts it again."""
        self._own.close_reader()
        for left in self._adopted:
            left.store.close_reader()
            left.store.close()
        self._adopted.clear()
        self._log.close(None, now_ms)

    def _drain_own(self, now_ms: int) -> bool:
        backlog = self._backlog
        if backlog.empty:
            if backlog.away and backlog.unsaid is not None:
                self._timed([], [backlog.unsaid], now_ms)
            return False
        records = self._read(self._own)
        self._send(records, now_ms)
        if records and not backlog.closed:
            self._own.passed(records[-1].next)
            backlog.drop(sum(map(_appends, records)))
        return bool(records)

    def _drain_adopted(self, now_ms: int) -> bool:
        left = self._adopted[0]
        if not left.drained and self._move(left, now_ms):
            return True
        # An edge whose clock jumped left a folder for each of its names, and its first one holds the events of all.
        if all(each.drained for each in self._adopted):
            self._retire(left, now_ms)
        else:
            self._adopted.rotate(-1)
        return True

    def _move(self, left: "_Left", now_ms: int) -> bool:
        """Move a portion of a dead edge's folder; give whether there was one."""
        records = self._read(left.store)
        left.note(records)
        self._tell_oldest()
        if records:
            self._send(records, now_ms)
            left.store.passed(records[-1].next)
            return True
        left.drained = True
        return False

    def _retire(self, left: "_Left", now_ms: int) -> None:
        """Close a dead edge's log, and remove its folder."""
        if left.last_seq > 0:
            log.warning("closing the log of an edge that vanished", edge_id=left.store.edge_id, last_seq=left.last_seq)
        self._timed([], [Closing(left.store.edge_id, left.last_seq, max(left.ts_ms, now_ms))], now_ms)
        faultpoint.reach("spool.retired")
        self._backlog.let_go(left.size_bytes)
        left.store.close_reader()
        left.store.remove()
        self._adopted.popleft()

    def _read(self, store: SpoolStore) -> list[Record]:
        try:
            records = store.read(STEP_BYTES)
        except Exception:
            self._backlog.unreadable = True
            raise
        self._backlog.unreadable = False
        return records

    def _tell_oldest(self) -> None:
        known_ms = [left.oldest_ts_ms for left in self._adopted if left.oldest_ts_ms is not None]
        self._backlog.adopted_oldest_ts_ms = min(known_ms, default=None)

    def _send(self, records: Sequence[Record], now_ms: int) -> None:
        """Bring records into the log, in their order. Raises LogError; then some of them may be there."""
        events: list[bytes] = []
        for record in records:
            if record.kind == "events":
                events += record.payload.split(b"\n")[record.skip :]
                continue
            if record.kind == "damaged":
                # Whose numbers these are the contiguity of the others will tell.
                log.error("a record of the spool cannot be read", at=record.at, reason=record.reason)
                continue
            self._timed(events, [decode_control(record.payload)], now_ms)
            events = []
        self._timed(events, [], now_ms)
        faultpoint.reach("spool.drained")

    def _timed(self, events: Sequence[bytes], controls: Sequence[Control], now_ms: int) -> None:
        """Append, and take note of whether the log is as quick as a person's click needs it."""
        started_s = self._clock.monotonic_s()
        if events:
            self._log.append(events, now_ms)
            self._backlog.drained_events += len(events)
        for control in controls:
            self._log.append_control(control, now_ms)
        if (events or controls) and self._clock.monotonic_s() - started_s <= self._quick_s:
            self._backlog.turn_back()


class _Left:
    """A dead edge's folder, and how far its edge came as the folder tells."""

    def __init__(self, store: SpoolStore) -> None:
        self.store = store
        self.drained = False
        self.size_bytes = store.size_bytes
        self.last_seq = 0
        self.ts_ms = 0
        self.oldest_ts_ms: int | None = None
        """Of what is next to be drained, once that was read."""

    def note(self, records: Sequence[Record]) -> None:
        """Take note of the greatest number and time of the edge's own events, and of the time of the first of any."""
        self.oldest_ts_ms = None
        for record in records:
            if record.kind != "events":
                continue
            payload = record.payload
            try:
                last = decode_event(payload[payload.rfind(b"\n") + 1 :])
                if self.oldest_ts_ms is None:
                    self.oldest_ts_ms = decode_event(payload.split(b"\n", 1)[0]).ts_ms
            except msgspec.MsgspecError:
                continue
            if last.edge_id == self.store.edge_id:
                self.last_seq, self.ts_ms = max(self.last_seq, last.seq), max(self.ts_ms, last.ts_ms)


def _appends(record: Record) -> int:
    """Give of how many appends a record tells: of one, or where a segment is damaged, of all that are given up."""
    if record.kind != "damaged":
        return 1
    at, following = parse_position(record.at), parse_position(record.next)
    return following.n - at.n
