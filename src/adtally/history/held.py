"""What the log already holds of a file: a killed import goes on behind it, and a repeated one adds nothing."""

from typing import Final

import msgspec

from adtally.event import Lost, decode_control
from adtally.eventlog.port import BEGINNING, LogReader, Partition

READ_BYTES_MAX: Final = 8 * 1024 * 1024


class NumberSet:
    """Whole numbers from 0, in one bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, first: int, last: int) -> None:
        """Add `first` to `last`, inclusive."""
        if last // 8 >= len(self._bits):
            self._bits.extend(bytes(last // 8 + 1 - len(self._bits)))
        for number in range(first, last + 1):
            self._bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (number & 7) & 1)


class Held(msgspec.Struct, frozen=True):
    """Numbers of one edge_id."""

    events: NumberSet
    lost: NumberSet
    """Noted as such."""


class _Numbered(msgspec.Struct, frozen=True, gc=False):
    edge_id: str
    seq: int


_decode_line: Final = msgspec.json.Decoder(_Numbered).decode
_decode_lines: Final = msgspec.json.Decoder(_Numbered).decode_lines


def read_held(reader: LogReader, partition: Partition, edge_id: str) -> Held:
    """Read what a partition holds of one edge_id; damaged records count as absent. Raises LogError."""
    held = Held(NumberSet(), NumberSet())
    start = BEGINNING
    while records := reader.read(partition, start, READ_BYTES_MAX):
        for record in records:
            if record.kind == "events":
                _note_events(held, record.payload, edge_id)
            elif record.kind == "control":
                control = decode_control(record.payload)
                if isinstance(control, Lost) and control.edge_id == edge_id:
                    held.lost.add(control.first_seq, control.last_seq)
        start = records[-1].next
    return held


def _note_events(held: Held, payload: bytes, edge_id: str) -> None:
    # A batch comes from one edge: the others' are passed over by their first line.
    if _decode_line(payload.partition(b"\n")[0]).edge_id != edge_id:
        return
    for event in _decode_lines(payload):
        held.events.add(event.seq, event.seq)
