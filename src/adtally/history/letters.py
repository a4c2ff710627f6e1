"""Dead letters, and how a mended one comes back into the event log (design section 2: nothing is dropped silently)."""

from collections.abc import Callable
from hashlib import blake2b
from ipaddress import ip_network
from typing import Any, Final

import msgspec

from adtally import faultpoint
from adtally.errors import InvalidValueError
from adtally.event import DEVICES, SCHEMA_VERSION, VERDICTS, Closing, Event, Heartbeat, decode_event
from adtally.eventlog.port import DeadLetter, DeadLetters, LogWriter, Partition, Position
from adtally.history.rows import check_time
from adtally.registry.rules import check_id

OpenWriter = Callable[[str, int], LogWriter]
"""Opens a writer of the partition of replayed letters, for an edge_id, now (epoch ms). Raises LogError."""

_PREFIX_BITS: Final = {4: 24, 6: 48}


class Replayed(msgspec.Struct, frozen=True):
    """What became of a letter."""

    partition: Partition
    position: Position
    events: int
    replayed_ms: int


class LetterDesk:
    """Shows dead letters and replays them. Thread-safe as far as the store of the letters is."""

    def __init__(self, letters: DeadLetters, open_writer: OpenWriter) -> None:
        self._letters = letters
        self._open_writer = open_writer

    def close(self) -> None:
        """Let go of the letters."""
        self._letters.close()

    def list(self, limit: int, after: tuple[Partition, Position] | None = None) -> list[DeadLetter]:
        """Give letters by place; see DeadLetters."""
        return self._letters.list(limit, after)

    def waiting(self) -> int:
        """Give how many were never replayed. Raises LogError."""
        return self._letters.waiting()

    def get(self, partition: Partition, position: Position) -> DeadLetter:
        """Give one letter. Raises NotFoundError and LogError."""
        return self._letters.get(partition, position)

    def replay(self, partition: Partition, position: Position, payload: bytes | None, now_ms: int) -> Replayed:
        """Append a letter's events to the log: those of its own payload, or of the mended one that is given.

        A payload is one event, or several, each on a line. They are late by definition, and a recount takes each
        (edge_id, seq) once, so replaying again changes nothing. Raises NotFoundError, LogError, and InvalidValueError
        for a payload that is no event.
        """
        letter = self._letters.get(partition, position)
        edge_id = _letter_edge_id(letter)
        events, own = read_events(letter.payload if payload is None else payload, edge_id, now_ms)
        writer = self._open_writer(edge_id, now_ms)
        try:
            # A record of this edge stands last, whenever the process dies: else the next writer of the partition would
            # take the events' own edges, which may well be running, for ones that vanished here.
            writer.append_together(events, [Heartbeat(edge_id, own, now_ms)], now_ms)
            faultpoint.reach("letters.appended")
            self._letters.mark_replayed(partition, position, now_ms)
        finally:
            writer.close(Closing(edge_id, own, now_ms, retired=True), now_ms)
        return Replayed(partition, position, len(events), now_ms)


def read_events(payload: bytes, edge_id: str, now_ms: int) -> tuple[list[bytes], int]:
    """Give a payload's events as they are to be logged, fields that this version does not know included.

    One that has no identity gets `edge_id` and its line's number. The second value is the greatest number so given, or
    0. Raises InvalidValueError that names the line.
    """
    lines = [line for line in payload.split(b"\n") if line.strip()]
    if not lines:
        raise InvalidValueError("payload", "is empty: give an event as JSON")
    events: list[bytes] = []
    own = 0
    for number, line in enumerate(lines, start=1):
        try:
            fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            if not {"edge_id", "seq"} <= fields.keys():
                own = number
                fields["edge_id"], fields["seq"] = _raw(edge_id), _raw(number)
            encoded = msgspec.json.encode(fields)
            _check_event(decode_event(encoded), now_ms)
        except (msgspec.MsgspecError, UnicodeError, InvalidValueError) as error:
            where = f"line {number}: " if len(lines) > 1 else ""
            raise InvalidValueError("payload", f"is no event: {where}{error}") from None
        events.append(encoded)
    return events, own


def _raw(value: Any) -> msgspec.Raw:  # noqa: ANN401 - JSON
    return msgspec.Raw(msgspec.json.encode(value))


def _letter_edge_id(letter: DeadLetter) -> str:
    place = f"{letter.partition}/{letter.position}".encode()
    return f"letter-{blake2b(place, digest_size=8).hexdigest()}"


def _check_event(event: Event, now_ms: int) -> None:
    """Raise InvalidValueError for what decodes as an event but no edge would have written."""
    for field in ("edge_id", "ad_id", "advertiser_id", "user_id"):
        check_id(field, getattr(event, field))
    for field in ("campaign_id", "impression_id"):
        if getattr(event, field):
            check_id(field, getattr(event, field))
    if event.seq < 1:
        raise InvalidValueError("seq", f"{event.seq} is less than 1")
    if event.v != SCHEMA_VERSION:
        raise InvalidValueError("v", f"{event.v} is not {SCHEMA_VERSION}, the version of this adtally's events")
    if event.verdict not in VERDICTS:
        raise InvalidValueError("verdict", f"{event.verdict!r} is none of {', '.join(VERDICTS)}")
    if event.device not in DEVICES:
        raise InvalidValueError("device", f"{event.device!r} is none of {', '.join(DEVICES)}")
    check_time(event.ts_ms, now_ms)
    if event.ip_prefix:
        _check_prefix(event.ip_prefix)


def _check_prefix(prefix: str) -> None:
    try:
        network = ip_network(prefix)
    except ValueError:
        network = None
    if network is None or network.prefixlen != _PREFIX_BITS[network.version]:
        raise InvalidValueError("ip_prefix", f"{prefix[:45]!r} is neither an IPv4 /24 nor an IPv6 /48")
