"""Turns the log's records into the lake's columns.

Arrow's reader takes a batch in 1.3 us an event and lets other threads run meanwhile; msgspec and lists of Python take
2.9 us and hold them up. So Arrow reads what every edge writes, and whatever is unusual in any way (a field that this
version does not know, `null`, bad UTF-8, a wrong type, a blank line) is read line by line with msgspec, whose word is
what the stream counts by.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from adtally.event import SCHEMA_VERSION, Event, decode_event
from adtally.eventlog.port import DeadLetter, LogReader, Record
from adtally.lake.columns import EVENT_COLUMNS
from adtally.lake.gaps import Ends
from adtally.lake.hours import TIME_MS_MAX
from adtally.ledger.port import Absence

_FIELDS: Final = pa.schema([pa.field(name, EVENT_COLUMNS.field(name).type) for name in Event.__struct_fields__])
_REQUIRED: Final = [name for name in Event.__struct_fields__ if name != "v" and not EVENT_COLUMNS.field(name).nullable]
_PARSE: Final = pyarrow.json.ParseOptions(explicit_schema=_FIELDS, unexpected_field_behavior="error")
_READ: Final = pyarrow.json.ReadOptions(use_threads=False, block_size=4 << 20)
_KNOWN: Final = frozenset(Event.__struct_fields__)
_decode_raw: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_SEQ_MAX: Final = 2**63 - 1
_V_MAX: Final = 2**15 - 1


class Batch(msgspec.Struct, frozen=True):
    """What one `events` record holds besides events."""

    events: int
    letters: list[DeadLetter]
    absences: list[Absence]
    ends: Ends | None
    """None where no event tells, or where the events contradict each other."""


def decode_fast(records: Sequence[Record], reader: LogReader) -> pa.Table | None:
    """Give the events of `events` records by Arrow, None where anything about them is unusual."""
    payload = b"\n".join([record.payload for record in records])
    lines = payload.count(b"\n") + 1
    usual = (
        not any(record.skip for record in records)
        # No line feed inside an object; as many objects as lines are then one on each.
        and payload.count(b"}\n{") == lines - 1
        # Arrow takes `null` for an absent field, ends at a NUL, and does not look at UTF-8.
        and b"null" not in payload
        and b"\0" not in payload
        and _is_utf8(payload)
    )
    if not usual:
        return None
    try:
        found = pyarrow.json.read_json(pa.BufferReader(payload), read_options=_READ, parse_options=_PARSE)
    except (pa.ArrowException, OSError, ValueError):
        return None
    if len(found) != lines or found.column_names[: len(_FIELDS)] != _FIELDS.names:
        return None
    times = pc.min_max(found["ts_ms"]).as_py()
    if any(found[name].null_count for name in _REQUIRED) or times["min"] < 0 or times["max"] >= TIME_MS_MAX:
        return None
    counts = [record.payload.count(b"\n") + 1 for record in records]
    appended = [record.appended_ms for record, count in zip(records, counts, strict=True) for _ in range(count)]
    offsets = [
        reader.position_of(record, index)
        for record, count in zip(records, counts, strict=True)
        for index in range(count)
    ]
    columns: dict[str, Any] = {name: found[name] for name in _FIELDS.names}
    columns["v"] = pc.fill_null(found["v"], SCHEMA_VERSION)
    columns["append_delay_ms"] = pc.subtract(pa.array(appended, pa.int64()), found["ts_ms"])
    columns["partition"] = pa.repeat(records[0].partition, lines)
    columns["offset"] = pa.array(offsets, pa.string())
    columns["unknown_fields"] = pa.nulls(lines, pa.string())
    return pa.table([columns[name] for name in EVENT_COLUMNS.names], schema=EVENT_COLUMNS)


class SlowDecoder:
    """Reads records line by line; `table` gives the events of all of them."""

    def __init__(self, reader: LogReader, now_ms: int) -> None:
        self._reader = reader
        self._now_ms = now_ms
        self._columns: dict[str, list[Any]] = {name: [] for name in EVENT_COLUMNS.names}

    def take(self, record: Record) -> Batch:
        """Read one `events` record. Lines before `record.skip` only serve as neighbours."""
        lines = record.payload.split(b"\n")
        events: list[Event | None] = []
        letters: list[DeadLetter] = []
        for index, line in enumerate(lines):
            event, reason = decode_line(line)
            events.append(event)
            if index < record.skip:
                continue
            position = self._reader.position_of(record, index)
            if event is None:
                letters.append(DeadLetter(record.partition, position, reason, line, self._now_ms))
            else:
                self._add(record, event, position, line)
        readable = sum(event is not None for event in events)
        return Batch(readable, letters, _dead_numbers(events), _ends_of(events))

    def table(self) -> pa.Table:
        """Give the events in the lake's columns."""
        return pa.table(self._columns, schema=EVENT_COLUMNS)

    def _add(self, record: Record, event: Event, position: str, line: bytes) -> None:
        columns = self._columns
        for name in Event.__struct_fields__:
            columns[name].append(getattr(event, name))
        columns["unknown_fields"].append(_unknown_fields(line))
        columns["append_delay_ms"].append(record.appended_ms - event.ts_ms)
        columns["partition"].append(record.partition)
        columns["offset"].append(position)


def decode_line(line: bytes) -> tuple[Event | None, str]:
    """Give a line's event, or None and the reason why it is none."""
    try:
        event = decode_event(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return None, str(error)
    if not 0 <= event.ts_ms < TIME_MS_MAX:
        return None, f"ts_ms {event.ts_ms} is no time"
    if not -_SEQ_MAX <= event.seq <= _SEQ_MAX:
        return None, f"seq {event.seq} does not fit into 64 bits"
    if not -_V_MAX <= event.v <= _V_MAX:
        return None, f"v {event.v} does not fit into 16 bits"
    return event, ""


def _unknown_fields(line: bytes) -> str | None:
    """Give the fields of a line that can be read which no column holds, as one JSON object."""
    # What it does not know msgspec does not look at closely: the event counts, whatever bytes lie there.
    text = line.decode(errors="replace")
    try:
        unknown = {key: value for key, value in _decode_raw(text).items() if key not in _KNOWN}
        return _encode(unknown).decode() if unknown else None
    except (msgspec.MsgspecError, UnicodeError):
        return _encode({"": text}).decode()


def _dead_numbers(events: Sequence[Event | None]) -> list[Absence]:
    """Give the numbers of the lines without an event: one batch is of one edge and numbered without gaps."""
    ends = _ends_of(events)
    if ends is None:
        return []
    dead = [ends.first_seq + index for index, event in enumerate(events) if event is None]
    return [Absence(ends.edge_id, seq, seq, "dead letter", ends.ts_ms) for seq in dead if seq > 0]


def _ends_of(events: Sequence[Event | None]) -> Ends | None:
    """Give a batch's numbers; None where no event tells them, or where the events contradict each other."""
    told = {(event.edge_id, event.seq - index) for index, event in enumerate(events) if event is not None}
    if len(told) != 1:
        return None
    edge_id, first_seq = told.pop()
    ts_ms = next(event.ts_ms for event in events if event is not None)
    return Ends(edge_id, first_seq, first_seq + len(events) - 1, ts_ms)


def _is_utf8(payload: bytes) -> bool:
    if payload.isascii():
        return True
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
