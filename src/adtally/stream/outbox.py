"""Hands the changed cells of one or several engines to the store, one delivery at a time."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, Protocol

from adtally.olap.port import LiveRows
from adtally.stream.engine import Engine, Handover
from adtally.stream.port import LiveFlush, StreamReport

ROWS_MAX: Final = 100_000
"""Of one delivery."""


class Pump(Protocol):
    """Delivers one flush at a time, beside the stream or at once."""

    def start(self, flush: LiveFlush) -> None:
        """Begin a delivery. Only right while none is under way."""
        ...

    def finished(self) -> bool | None:
        """Tell how the delivery ended: True stored, False to be sent again, None while it is under way."""
        ...


class Outbox:
    """Keeps what is on its way until the store has it."""

    def __init__(self, pump: Pump, flush_ms: int) -> None:
        self._pump = pump
        self._flush_ms = flush_ms
        self._under_way: list[tuple[Engine, Handover]] = []
        self._as_of_ms = 0
        self._flushed_ms = 0
        self.stored_as_of_ms = 0
        """What the report of the last stored delivery said."""

    @property
    def empty(self) -> bool:
        """True while nothing is on its way."""
        return not self._under_way

    def start(self, engines: Sequence[Engine], report: Callable[[], StreamReport], now_ms: int) -> None:
        """Begin a delivery if it is time, with what the report says once its cells are taken."""
        overdue = passed(self._flushed_ms, self._flush_ms, now_ms)
        if self._under_way or not (overdue or sum(engine.changed for engine in engines) >= ROWS_MAX):
            return
        self._flushed_ms = now_ms
        room = ROWS_MAX
        for engine in engines:
            handover = engine.take_dirty(room)
            room -= len(handover.rows)
            self._under_way.append((engine, handover))
        told = report()
        self._as_of_ms = told.as_of_ms
        self._pump.start(LiveFlush(_joined([handover.rows for _, handover in self._under_way]), told))

    def finish(self) -> bool:
        """Tell whether a delivery has just ended in the store. What the store did not take, engines take back."""
        stored = self._pump.finished() if self._under_way else None
        if stored is None:
            return False
        under_way, self._under_way = self._under_way, []
        if stored:
            self.stored_as_of_ms = self._as_of_ms
        else:
            for engine, handover in under_way:
                engine.take_back(handover)
        return stored


def passed(last_ms: int, every_ms: int, now_ms: int) -> bool:
    """Tell whether it is time for something that was last done at `last_ms`; so it is when the clock was set back."""
    return now_ms - last_ms >= every_ms or now_ms < last_ms


def _joined(parts: Sequence[LiveRows]) -> LiveRows:
    if len(parts) == 1:
        return parts[0]
    columns = [list(chain.from_iterable(getattr(rows, name) for rows in parts)) for name in LiveRows.__struct_fields__]
    return LiveRows(*columns)
