"""What has arrived of one partition and was not given to the reader yet, as records."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from confluent_kafka import KafkaError

from adtally.errors import LogError
from adtally.eventlog.kafka.topics import CONTROL_KEY
from adtally.eventlog.port import BEGINNING, Partition, Position, Record

_OUT_OF_RANGE: Final = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)  # noqa: SLF001 - so it is named
_DIGITS: Final = 20


def position(offset: int) -> Position:
    """Give an offset as a position, of fixed width, so that it orders as bytes."""
    return Position(f"{offset:0{_DIGITS}d}")


def offset_of(at: Position) -> int:
    """Give the offset that a position names. Raises LogError for what this log never gave out."""
    if not (at.isdecimal() and at.isascii()):
        raise LogError(f"{at!r} is no position of this log")
    return int(at)


class Feed:
    """Holds records of one partition, one behind the other; offsets inside a record have no gaps."""

    def __init__(self, partition: Partition, asked: Position, offset: int) -> None:
        self.partition = partition
        self.asked = asked
        """Where reading last began that did not go on where it had ended."""
        self.next_offset = offset
        """The offset after all that has arrived."""
        self.bytes = 0
        self.paused = False
        self.trouble = ""
        """Why nothing more arrives."""
        self.out_of_range = False
        self.lost_track = False
        """A message has arrived that is not the next one."""
        self._given_some = False
        self._skipped_to = -1
        self._records: deque[Record] = deque()

    @property
    def anywhere(self) -> bool:
        """Whether reading may begin with whatever the log still holds."""
        return self.asked == BEGINNING and not self._given_some

    def is_empty(self) -> bool:
        """Tell whether nothing is held."""
        return not self._records

    def move_to(self, start: Position) -> bool:
        """Go on at `start`; False where that is neither held nor what arrives next."""
        if start == BEGINNING:
            return self.anywhere
        offset = offset_of(start)
        while self._records and int(self._records[0].next) <= offset:
            self._pop()
        if not self._records:
            return self.next_offset == offset
        skip = offset - int(self._records[0].at)
        if skip < 0:
            return False
        self._records[0] = msgspec.structs.replace(self._records[0], skip=skip)
        return True

    def give(self, bytes_max: int) -> list[Record]:
        """Give the first records, of about `bytes_max` bytes together, and hold them no longer."""
        given: list[Record] = []
        size = 0
        while self._records and (not given or size < bytes_max):
            record = self._pop()
            size += len(record.payload)
            given.append(record)
        self._given_some = True
        return given

    def take(self, messages: Sequence[Any], *, controls: bool, mixed: bool) -> None:
        """Take messages as they arrive; in a `mixed` topic their key tells which are controls."""
        run: list[bytes] = []
        run_ms = -1
        for message in messages:
            error = message.error()
            if error is not None:
                self._note(error)
                continue
            offset = message.offset()
            if offset != self.next_offset and not self._accept_gap(offset):
                continue
            if offset != self.next_offset:
                self._close(run, run_ms)
                run = []
                self.next_offset = offset
            value, appended_ms = message.value() or b"", message.timestamp()[1]
            alone = self._kind_alone(message, value, controls=controls, mixed=mixed)
            if alone is not None or appended_ms != run_ms:
                self._close(run, run_ms)
                run, run_ms = [], appended_ms
            if alone is None:
                run.append(value)
                self.next_offset += 1
            else:
                self.next_offset += 1
                reason = "" if alone == "control" else "a message is one event: this one is empty or holds a line feed"
                self._keep(alone, appended_ms, value, 1, reason)
                run_ms = -1
        self._close(run, run_ms)

    def _kind_alone(
        self,
        message: Any,  # noqa: ANN401 - untyped
        value: bytes,
        *,
        controls: bool,
        mixed: bool,
    ) -> Literal["control", "damaged"] | None:
        """Give what kind of record a message makes by itself, None for an event, which joins those beside it."""
        if controls or (mixed and message.key() == CONTROL_KEY):
            return "control"
        return "damaged" if not value or b"\n" in value else None

    def _accept_gap(self, offset: int) -> bool:
        """Tell whether a message is taken that is not the next one.

        An earlier one is a repetition. A later one may have been on its way when reading began elsewhere: only if it
        comes again after reading began anew are there no messages between.
        """
        if self.lost_track or offset < self.next_offset:
            return False
        if self._skipped_to == offset:
            return True
        self._skipped_to, self.lost_track = offset, True
        return False

    def _note(self, error: KafkaError) -> None:
        self.trouble = error.str()
        self.out_of_range = error.code() in _OUT_OF_RANGE

    def _close(self, run: list[bytes], appended_ms: int) -> None:
        if run:
            self._keep("events", appended_ms, b"\n".join(run), len(run))

    def _keep(
        self,
        kind: Literal["events", "control", "damaged"],
        appended_ms: int,
        payload: bytes,
        count: int,
        reason: str = "",
    ) -> None:
        at, following = position(self.next_offset - count), position(self.next_offset)
        self._records.append(Record(self.partition, kind, appended_ms, payload, at, following, 0, reason))
        self.bytes += len(payload)

    def _pop(self) -> Record:
        record = self._records.popleft()
        self.bytes -= len(record.payload)
        return record
