"""Events in the SQLite log, and what is read back."""

from adtally.event import Event, decode_event_lines, encode_event
from adtally.eventlog.port import BEGINNING, Partition, Record
from adtally.eventlog.sqlite.reader import SqliteLogReader

P = Partition("edge-0")
BIG = 1 << 30


def event(seq: int) -> bytes:
    return encode_event(Event("e1", seq, 1_000 + seq, "ad", "c", "adv", "u", "mobile", "ok", "", "agent" * 20))


def read_all(reader: SqliteLogReader) -> list[Record]:
    records: list[Record] = []
    start = BEGINNING
    while found := reader.read(P, start, 1 << 20):
        records += found
        start = found[-1].next
    reader.close()
    return records


def seqs(records: list[Record]) -> list[int]:
    return [e.seq for r in records if r.kind == "events" for e in decode_event_lines(r.payload)]
