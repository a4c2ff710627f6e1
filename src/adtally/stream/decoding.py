"""Makes events of the log's records; what is none becomes a dead letter, and the rest goes on."""

import msgspec

from adtally.event import Event, decode_event, decode_event_lines
from adtally.eventlog.port import DeadLetter, DeadLetters, LogReader, Record
from adtally.telemetry import log


class Decoding:
    """Decodes for one stream."""

    def __init__(self, reader: LogReader, dead_letters: DeadLetters) -> None:
        self._reader = reader
        self._dead_letters = dead_letters
        self.dead_letters = dead_letters.count()
        """Number of all letters that are kept."""

    def events(self, record: Record, now_ms: int, first: int = 0) -> list[Event]:
        """Give the events of an `events` record, those before line `first` left out. Raises LogError."""
        try:
            events = decode_event_lines(record.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._one_by_one(record, now_ms, first)
        # An empty line is no event either, and would be passed over in silence.
        if len(events) != record.payload.count(b"\n") + 1:
            return self._one_by_one(record, now_ms, first)
        return events[first:]

    def bury(self, record: Record, reason: str, now_ms: int) -> None:
        """Keep a whole record as a dead letter. Raises LogError."""
        self._keep([DeadLetter(record.partition, record.at, reason, record.payload, now_ms)])

    def _one_by_one(self, record: Record, now_ms: int, first: int) -> list[Event]:
        events: list[Event] = []
        letters: list[DeadLetter] = []
        for index, line in enumerate(record.payload.split(b"\n")[first:], first):
            try:
                events.append(decode_event(line))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                position = self._reader.position_of(record, index)
                letters.append(DeadLetter(record.partition, position, str(error), line, now_ms))
        self._keep(letters)
        return events

    def _keep(self, letters: list[DeadLetter]) -> None:
        for letter in letters:
            log.error("dead letter", partition=letter.partition, position=letter.position, reason=letter.reason)
        self._dead_letters.put(letters)
        self.dead_letters = self._dead_letters.count()
