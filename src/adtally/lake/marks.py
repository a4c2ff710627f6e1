"""What control records promise, gathered between two flushes for the ledger."""

from collections.abc import Mapping

import msgspec

from adtally.event import Closing, Control, Heartbeat, Lost, Opening
from adtally.eventlog.port import Partition
from adtally.lake.hours import TIME_MS_MAX
from adtally.ledger.port import Absence, EdgeMark
from adtally.utc import hour_of

SEQ_MAX = 2**63 - 1


class Marks:
    """One mark for each edge and hour: heartbeats come four times a second, and only the newest tells something.

    Only heartbeats tell of the spool: `spooled` is what those of earlier flushes said last, the oldest event by edge.
    """

    def __init__(self, spooled: Mapping[str, int]) -> None:
        self.spooled = dict(spooled)
        """The oldest event that each edge holds back, by the last heartbeat; edges that hold none are not in it."""
        self._marks: dict[tuple[str, int], EdgeMark] = {}
        self.absences: list[Absence] = []

    def add(self, partition: Partition, control: Control) -> None:
        """Take a control record. Raises ValueError for a number or a time that cannot be."""
        last_seq = 0 if isinstance(control, Opening) else control.last_seq
        if not (0 <= last_seq <= SEQ_MAX and 0 <= control.ts_ms < TIME_MS_MAX):
            raise ValueError(f"number {last_seq} or time {control.ts_ms} is out of range")
        # A partition that was retired before its first writer came has a Closing of nobody.
        if not control.edge_id:
            return
        if isinstance(control, Heartbeat) and control.oldest_spooled_ts_ms is not None:
            self.spooled[control.edge_id] = control.oldest_spooled_ts_ms
        elif isinstance(control, Heartbeat | Closing):
            self.spooled.pop(control.edge_id, None)
        spooled = self.spooled.get(control.edge_id)
        hour_ms = hour_of(control.ts_ms)
        mark = EdgeMark(
            control.edge_id, hour_ms, partition, last_seq, control.ts_ms, isinstance(control, Closing), spooled
        )
        known = self._marks.get((control.edge_id, hour_ms))
        self._marks[control.edge_id, hour_ms] = mark if known is None else _join(known, mark)
        if isinstance(control, Lost):
            self.absences.append(Absence(control.edge_id, control.first_seq, control.last_seq, "lost", control.ts_ms))

    @property
    def marks(self) -> list[EdgeMark]:
        """The marks that were gathered, by edge and hour."""
        return [self._marks[key] for key in sorted(self._marks)]


def _join(known: EdgeMark, mark: EdgeMark) -> EdgeMark:
    return msgspec.structs.replace(
        mark,
        last_seq=max(known.last_seq, mark.last_seq),
        ts_ms=max(known.ts_ms, mark.ts_ms),
        closed=known.closed or mark.closed,
    )
