"""Which numbers lie in records that cannot be read, as their neighbours in the same partition tell."""

import msgspec

from adtally.event import Closing, Control, Opening, decode_event
from adtally.ledger.port import Absence


class Ends(msgspec.Struct, frozen=True):
    """The numbers of one batch, all of one edge; the dead letters among its lines included."""

    edge_id: str
    first_seq: int
    last_seq: int
    ts_ms: int


class GapFinder:
    """Follows one partition's records in their order; what lies around a damaged one closes the gap.

    Only events, and the Closing that ends an edge, close one: a heartbeat may promise numbers that are still to come.
    Where a neighbour is missing or of another edge nothing is claimed, and the ledger shows the numbers as missing.
    """

    def __init__(self) -> None:
        # A batch is taken apart only where it turns out to be a damaged record's neighbour.
        self._before: Ends | bytes | None = None
        self._damaged = False

    def pass_batch(self, batch: Ends | bytes) -> list[Absence]:
        """Pass a batch, as its numbers or as the payload of events that all can be read."""
        found: list[Absence] = []
        if self._damaged:
            ends = _ends(batch)
            found = self._close(ends.edge_id, ends.first_seq, ends.ts_ms)
        self._before = batch
        return found

    def pass_control(self, control: Control) -> list[Absence]:
        """Pass a control record."""
        found: list[Absence] = []
        if isinstance(control, Closing):
            if self._damaged:
                found = self._close(control.edge_id, control.last_seq + 1, control.ts_ms)
            self._before = None
        elif isinstance(control, Opening):
            self._before = Ends(control.edge_id, 1, 0, control.ts_ms)
            self._damaged = False
        return found

    def pass_damage(self) -> None:
        """Pass a record that cannot be read."""
        if isinstance(self._before, bytes):
            self._before = _ends(self._before)
        self._damaged = True

    def forget(self) -> None:
        """Pass a batch whose events contradict each other: nothing can be told from it."""
        self._before, self._damaged = None, False

    def _close(self, edge_id: str, next_seq: int, ts_ms: int) -> list[Absence]:
        before, self._damaged = self._before, False
        if not isinstance(before, Ends) or before.edge_id != edge_id or next_seq <= before.last_seq + 1:
            return []
        return [Absence(edge_id, before.last_seq + 1, next_seq - 1, "dead letter", ts_ms)]


def _ends(batch: Ends | bytes) -> Ends:
    if isinstance(batch, Ends):
        return batch
    first = decode_event(batch.split(b"\n", 1)[0])
    last = decode_event(batch.rsplit(b"\n", 1)[-1])
    return Ends(first.edge_id, first.seq, last.seq, first.ts_ms)
