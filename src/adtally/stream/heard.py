"""What edges promise of their clicks, in a log that keeps control records in a partition of its own.

A heartbeat is appended when all its edge's events so far are in the log or in its spool, and none that follows is
older. So once control records were read to their end, and after that clicks to theirs, everything older than the
smallest promise is counted.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from adtally.errors import PositionGoneError
from adtally.event import Closing, Control, Heartbeat, Lost, Opening, decode_control
from adtally.eventlog.port import BEGINNING, CONTROLS, LogReader, Position, Record
from adtally.telemetry import log

GIVEN_UP_MS: Final = 600_000
"""An edge that says nothing for so long, and has not closed its log, is waited for no longer."""

CLOCKS_APART_MS: Final = 500
"""How far the clock of an edge that is about to say its first word may lag behind those of the others."""

LISTEN_MS: Final = 250
READ_BYTES: Final = 1 << 20
READS_MAX: Final = 2
"""At a time: where many edges speak, the first one hardly ever finds nothing."""

CUT_EVERY_MS: Final = 60_000


class Promise(NamedTuple):
    """All clicks before `bound_ms` were appended by `heard_ms` of our clock, and by `appended_ms` of the brokers'."""

    bound_ms: int
    heard_ms: int
    appended_ms: int


class _Said(NamedTuple):
    bound_ms: int
    appended_ms: int


class Heard:
    """What was heard of all edges: a function of the control records alone."""

    def __init__(self) -> None:
        self._said: dict[str, _Said] = {}
        self._log_ms = 0

    def take(self, record: Control, appended_ms: int) -> None:
        """Take the next control record."""
        self._log_ms = max(self._log_ms, appended_ms)
        match record:
            case Closing():
                self._said.pop(record.edge_id, None)
            case Opening():
                self._said[record.edge_id] = _Said(record.ts_ms, self._log_ms)
            case Heartbeat():
                spooled_ms = record.oldest_spooled_ts_ms
                bound_ms = record.ts_ms if spooled_ms is None else min(record.ts_ms, spooled_ms)
                self._said[record.edge_id] = _Said(bound_ms, self._log_ms)
            case Lost():
                # Tells what never comes, and promises nothing about what does.
                pass

    def bound_ms(self) -> int:
        """Give a time before which no edge that is waited for has events outside the log; 0 where there is none."""
        given_up_ms = self._log_ms - GIVEN_UP_MS
        self._said = {edge: said for edge, said in self._said.items() if said.appended_ms >= given_up_ms}
        return min((said.bound_ms for said in self._said.values()), default=0)


class Listener:
    """Reads control records, and keeps what they promise at the moment at which their end was seen.

    `start` is where to begin, None for where the reader has committed: from there all edges that are waited for are
    heard again.
    """

    def __init__(self, reader: LogReader, start: Position | None = None) -> None:
        self._reader = reader
        self._next = start
        self._heard = Heard()
        self._cuts: deque[tuple[int, Position]] = deque()
        self._log_ms = 0

    def listen(self, now_ms: int) -> Promise | None:
        """Read on; give the promise once the end is seen, None before. `now_ms` is a time before the call.

        What is promised of the future is not believed. Raises LogError.
        """
        if self._next is None:
            self._next = self._reader.committed().get(CONTROLS, BEGINNING)
        try:
            for _ in range(READS_MAX):
                records = self._reader.read(CONTROLS, self._next, READ_BYTES)
                if not records:
                    bound_ms = max(0, min(self._heard.bound_ms(), now_ms) - CLOCKS_APART_MS)
                    return Promise(bound_ms, now_ms, self._log_ms)
                self._take(records)
        except PositionGoneError:
            # What was removed is older than anything that is waited for.
            self._next = BEGINNING
        return None

    def restart(self) -> Position | None:
        """Give the newest place from which a restart hears all again, None if there is no newer one than was given."""
        chosen: Position | None = None
        while self._cuts and self._cuts[0][0] < self._log_ms - GIVEN_UP_MS:
            chosen = self._cuts.popleft()[1]
        return chosen

    def commit(self) -> None:
        """Remember from where a restart hears all again. Raises LogError."""
        position = self.restart()
        if position is not None:
            self._reader.commit({CONTROLS: position})

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            self._log_ms = max(self._log_ms, record.appended_ms)
            if not self._cuts or self._log_ms >= self._cuts[-1][0] + CUT_EVERY_MS:
                self._cuts.append((self._log_ms, record.at))
            if record.kind != "control":
                continue
            try:
                self._heard.take(decode_control(record.payload), record.appended_ms)
            except msgspec.MsgspecError as error:
                # The archiver keeps it as a dead letter.
                log.warning("a control record cannot be read", position=record.at, error=str(error))
        self._next = records[-1].next


class Promised:
    """Turns what is heard into a time before which everything is counted, while clicks are read on."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._listened_ms = 0
        self._promise: Promise | None = None
        self.as_of_ms = 0

    def step(self, now_ms: int, kept: Callable[[Promise], bool]) -> None:
        """Go on. `kept` tells whether all clicks that a promise is about were read. Raises LogError."""
        if self._promise is not None:
            if not kept(self._promise):
                return
            self.as_of_ms = max(self.as_of_ms, self._promise.bound_ms)
            self._promise = None
        if 0 <= now_ms - self._listened_ms < LISTEN_MS:
            return
        self._promise = self._listener.listen(now_ms)
        if self._promise is not None:
            self._listened_ms = now_ms
