"""One host's spool before a log that can be away."""

from pathlib import Path
from typing import TYPE_CHECKING

from adtally.errors import LogError
from adtally.event import Control, Event, decode_control, decode_event_lines, encode_event
from adtally.eventlog.port import Partition
from adtally.eventlog.spool.writer import SpooledWriter
from support.memory_log import MemoryLog, MemoryLogWriter

if TYPE_CHECKING:
    from adtally.eventlog.spool.drainer import SpoolDrainer

P = Partition("log")


def event(seq: int, edge_id: str = "e1") -> bytes:
    return encode_event(Event(edge_id, seq, 1_000 + seq, "ad", "c", "adv", "u", "mobile", "ok", "", "agent"))


class Host:
    """One host's spool in front of a log that can be away; each start has writers of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root / "spool"
        self.log = MemoryLog()

    def start(
        self, edge_id: str = "e1", bytes_max: int = 1 << 20, *, away: bool = False, vfs: str | None = None
    ) -> "Start":
        return Start(self, edge_id, bytes_max, away=away, vfs=vfs)

    def seqs(self) -> list[int]:
        return [each.seq for each in self._events()]

    def ids(self) -> set[tuple[str, int]]:
        return {(each.edge_id, each.seq) for each in self._events()}

    def _events(self) -> list[Event]:
        records = [record for record in self.log.records.get(P, []) if record.kind == "events"]
        return [each for record in records for each in decode_event_lines(record.payload)]

    def controls(self) -> list[Control]:
        return [decode_control(each.payload) for each in self.log.records.get(P, []) if each.kind == "control"]


class Start:
    def __init__(self, host: Host, edge_id: str, bytes_max: int, *, away: bool, vfs: str | None) -> None:
        self.fresh, self.drain = MemoryLogWriter(host.log, P), MemoryLogWriter(host.log, P)
        self.set_away(away)
        self.writer: SpooledWriter
        self.drainer: SpoolDrainer
        self.writer, self.drainer = SpooledWriter.open(
            self.fresh, self.drain, host.root, edge_id, 500, bytes_max, 60_000, vfs
        )

    def set_away(self, away: bool) -> None:
        self.fresh.broken = self.drain.broken = away

    def drain_all(self) -> None:
        for _ in range(20):
            self.drainer.step(9_000)

    def die(self) -> None:
        """Let go of everything without a word, as a killed process does."""
        self.writer.close(None, 9_000)
        self.drainer.close(9_000)

    def full(self) -> bool:
        return self.writer.state.full

    def fill(self, first: int = 1) -> int:
        """Append a click at a time until there is no room; give the last one that was kept."""
        for seq in range(first, first + 10_000):
            try:
                self.writer.append([event(seq)], 2_000)
            except LogError:
                return seq - 1
        raise AssertionError("the spool is never full")
