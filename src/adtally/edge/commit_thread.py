"""Runs the log's blocking calls beside the event loop, so that a stalled fsync freezes nobody."""

import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Final, Protocol

from adtally.clock import Clock
from adtally.errors import LogError
from adtally.event import Closing, Control, Lost
from adtally.eventlog.port import LogWriter

Finished = Callable[[Exception | None, float], None]
"""Called in the loop with what an append raised, and the seconds it took."""


class Encoded(Protocol):
    """What has the bytes of one event."""

    encoded: bytes


class CommitThread:
    """One thread that makes one call of the writer after the other; its owner keeps one outstanding."""

    def __init__(self, writer: LogWriter, clock: Clock, loop: AbstractEventLoop, finished: Finished) -> None:
        self._writer: Final = writer
        self._clock: Final = clock
        self._loop: Final = loop
        self._finished: Final = finished
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon: a call that never returns must not keep the process from ending.
        threading.Thread(target=self._run, name="log-commit", daemon=True).start()

    def submit(self, batch: Sequence[Encoded] | Control, loss: Lost | None) -> None:
        """Append a batch of events, and behind it a loss, or one control record; `finished` follows."""
        if isinstance(batch, Control):
            self._jobs.put(lambda: self._writer.append_control(batch, self._clock.now_ms()))
        elif loss is not None:
            events = [entry.encoded for entry in batch]
            self._jobs.put(lambda: self._writer.append_together(events, [loss], self._clock.now_ms()))
        else:
            self._jobs.put(lambda: self._writer.append([entry.encoded for entry in batch], self._clock.now_ms()))

    def close(self, closing: Closing) -> None:
        """Close the writer with a last record; `finished` follows, and the thread ends."""
        self._jobs.put(lambda: self._writer.close(closing, self._clock.now_ms()))
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            error: Exception | None = None
            started_s = self._clock.monotonic_s()
            try:
                job()
            except Exception as raised:  # noqa: BLE001 - handed to the loop, which decides
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._finished, error, self._clock.monotonic_s() - started_s)
            except RuntimeError:
                # The loop did not wait for a stalled call and is closed: nobody is left to be told.
                return


def as_log_error(error: Exception | None) -> LogError | None:
    """Pass a failure of the log on, and raise everything else: it is a defect, and hides nothing."""
    if error is None or isinstance(error, LogError):
        return error
    raise error
