"""What the import partitions of a log hold, read behind the importer's back."""

from pathlib import Path

import msgspec

from adtally.event import Closing, Control, Event, Lost, decode_control, decode_event_lines
from adtally.eventlog.port import BEGINNING, IMPORTS, Partition
from adtally.eventlog.sqlite.reader import SqliteLogReader


class Logged(msgspec.Struct):
    """All events and control records of one partition, in the log's order."""

    events: list[Event]
    controls: list[Control]

    def numbers(self, edge_id: str) -> list[int]:
        """Give the seqs of an edge's events as often as they stand there."""
        return [event.seq for event in self.events if event.edge_id == edge_id]

    def lost(self, edge_id: str) -> set[int]:
        """Give the seqs that were logged as lost."""
        return {
            seq
            for record in self.controls
            if isinstance(record, Lost) and record.edge_id == edge_id
            for seq in range(record.first_seq, record.last_seq + 1)
        }

    def closings(self, edge_id: str) -> list[Closing]:
        """Give the closing records of an edge."""
        return [record for record in self.controls if isinstance(record, Closing) and record.edge_id == edge_id]


def read_log(root: Path, partition: Partition = IMPORTS) -> Logged:
    """Read a partition from its beginning."""
    found = Logged([], [])
    reader = SqliteLogReader(root, "test")
    start = BEGINNING
    while records := reader.read(partition, start, 1 << 20):
        for record in records:
            if record.kind == "events":
                found.events += decode_event_lines(record.payload)
            else:
                assert record.kind == "control", record
                found.controls.append(decode_control(record.payload))
        start = records[-1].next
    reader.close()
    return found
