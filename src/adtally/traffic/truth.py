"""The truth file: what was asked of the system, and what came back, one line of JSON for each attempt.

An attempt's line is written when its fate is known, and handed to the operating system at least each `FLUSH_S` seconds,
so it survives the death of the load. The last line says that the load ended by itself; without it the attempts that
were in flight at the end are missing, and the last line may be torn.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from adtally.clock import Clock
from adtally.errors import AdtallyError
from adtally.traffic.plan import Kind

FLUSH_S: Final = 0.1
BUFFER_LINES_MAX: Final = 4_096


class TruthFileError(AdtallyError):
    """A truth file cannot be read, or holds a line that is none."""


class EventRef(msgspec.Struct, frozen=True, gc=False):
    """An event's identity and time, as `X-Click-Event: edge_id.seq.ts_ms` gives them."""

    edge_id: str
    seq: int
    ts_ms: int


class TruthLine(msgspec.Struct, frozen=True, gc=False):
    """One attempt and its outcome. Times are epoch milliseconds by the load's clock.

    `status` is the answer's, None where none came: then nobody knows whether the request was recorded. `recorded` is
    what the answer promised: a 302 without `X-Click-Recorded: false`. `event` is the answer's `X-Click-Event`, None
    where it has none. `ended_ms` is when the answer came, or when it was certain that none would.
    """

    kind: Kind
    ad_id: str
    user_id: str
    intended_ms: int
    sent_ms: int
    ended_ms: int
    impression_id: str | None = None
    status: int | None = None
    recorded: bool = False
    event: str | None = None

    def event_ref(self) -> EventRef | None:
        """Give the event's identity, None where the answer did not tell. Raises TruthFileError if it is malformed."""
        if self.event is None:
            return None
        try:
            edge_id, seq, ts_ms = self.event.rsplit(".", 2)
            return EventRef(edge_id, int(seq), int(ts_ms))
        except ValueError:
            raise TruthFileError(f"X-Click-Event is {self.event!r}, expected edge_id.seq.ts_ms") from None


class TruthEnd(msgspec.Struct, frozen=True):
    """The last line: the load ended by itself after this many attempts."""

    end: bool
    attempts: int


class TruthWriter:
    """Writes a truth file. Cheap enough for every attempt: lines are bytes that are joined and written together."""

    def __init__(self, path: Path, clock: Clock) -> None:
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise TruthFileError(f"{path} cannot be written ({error.strerror}): choose another --truth") from None
        self._clock = clock
        self._lines: list[bytes] = []
        self._written_s = clock.monotonic_s()
        self._attempts = 0

    def answered(
        self, head: bytes, intended_ms: int, sent_ms: int, ended_ms: int, status: bytes, recorded: bool, event: bytes
    ) -> None:
        """Note an attempt that was answered; `head` is `Attempt.truth`, `event` empty where the answer has none."""
        self._lines.append(
            b'%b"intended_ms":%d,"sent_ms":%d,"ended_ms":%d,"status":%b,"recorded":%b,"event":%b}\n'
            % (
                head,
                intended_ms,
                sent_ms,
                ended_ms,
                status,
                b"true" if recorded else b"false",
                b'"%b"' % event if event else b"null",
            )
        )
        if len(self._lines) >= BUFFER_LINES_MAX:
            self.flush()

    def unknown(self, head: bytes, intended_ms: int, sent_ms: int, ended_ms: int) -> None:
        """Note an attempt that got no answer, `ended_ms` being when this became certain."""
        line = b'%b"intended_ms":%d,"sent_ms":%d,"ended_ms":%d,"status":null}\n'
        self._lines.append(line % (head, intended_ms, sent_ms, ended_ms))

    def flush_if_due(self) -> None:
        """Write what is buffered if the last time lies `FLUSH_S` or more back; to be called often."""
        if self._clock.monotonic_s() - self._written_s >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Hand all lines so far to the operating system."""
        # write() may take a part only (a signal, a nearly full disk).
        rest = memoryview(b"".join(self._lines))
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        self._attempts += len(self._lines)
        self._lines.clear()
        self._written_s = self._clock.monotonic_s()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the rest; and the closing line, if the load ended by itself."""
        self.flush()
        if error is None:
            self._file.write(msgspec.json.encode(TruthEnd(True, self._attempts)) + b"\n")
        self._file.close()


class TruthFile:
    """Reads a truth file; iterate over it once. `complete` is known after the last line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.complete = False

    def __iter__(self) -> Iterator[TruthLine]:
        """Give the attempts in the order in which their fates became known.

        Raises TruthFileError with the line's number for a line that is none, a torn last one excepted.
        """
        decode = msgspec.json.Decoder(TruthLine).decode
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):
                        return
                    if line.startswith(b'{"end"'):
                        self.complete = True
                        continue
                    try:
                        yield decode(line)
                    except msgspec.MsgspecError as error:
                        raise TruthFileError(f"{self.path}, line {number}: not an attempt: {error}") from None
        except OSError as error:
            raise TruthFileError(f"{self.path} cannot be read: {error.strerror}") from None
