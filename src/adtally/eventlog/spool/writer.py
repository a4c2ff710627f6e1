"""A log writer that falls back to the edge's own disk."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from adtally import faultpoint
from adtally.errors import LogClosedError, LogError
from adtally.event import Closing, Control, Heartbeat, Lost, Opening, encode_control
from adtally.eventlog.port import LogWriter, SpoolState
from adtally.eventlog.spool.backlog import Backlog, disk_bytes
from adtally.eventlog.spool.drainer import SpoolDrainer
from adtally.eventlog.spool.store import SpoolStore


class _Time(msgspec.Struct, frozen=True):
    ts_ms: int


_decode_time: Final = msgspec.json.Decoder(_Time).decode


class SpooledWriter:
    """Implements LogWriter: on return, what was appended is in the log or on this disk.

    `log` has to give up an append in time: what it does not take is spooled, and so is all that follows, without asking
    it again, until the drainer has brought something into it. Fresh events then overtake those that are still spooled.
    A heartbeat is not spooled, for the next one says more; each tells the oldest event that is held back. A Closing
    never overtakes what is spooled. Used by one thread, beside the drainer's.
    """

    def __init__(
        self, log: LogWriter, root: Path, store: SpoolStore, backlog: Backlog, bytes_max: int, vfs: str | None = None
    ) -> None:
        self._log = log
        self._root = root
        self._store = store
        self._backlog = backlog
        self._bytes_max = bytes_max
        self._vfs = vfs
        # Of edge_ids that began when the clock jumped: whoever comes after a kill closes each of them.
        self._later: list[SpoolStore] = []

    @classmethod
    def open(
        cls,
        log: LogWriter,
        drain_log: LogWriter,
        root: Path,
        edge_id: str,
        now_ms: int,
        bytes_max: int,
        quick_ms: int,
        vfs: str | None = None,
    ) -> "tuple[SpooledWriter, SpoolDrainer]":
        """Give the writer, which has written the Opening of `edge_id`, and the drainer, which has adopted the dead.

        The log may be away, and the spool full of what the dead left. `drain_log` is a writer of the same log that
        nobody else uses; an append of it that took less than `quick_ms` shows that the log is back. `bytes_max` bounds
        the spool. Raises LogError if the spool's folder cannot be written.
        """
        with contextlib.ExitStack() as failed:
            adopted = SpoolStore.adopt(root, vfs)
            for each in adopted:
                failed.callback(each.close)
            store = SpoolStore.open(root, edge_id, now_ms, vfs)
            failed.callback(store.close)
            backlog = Backlog()
            backlog.adopted_bytes = sum(each.size_bytes for each in adopted)
            writer = cls(log, root, store, backlog, bytes_max, vfs)
            writer._append((), (Opening(edge_id, now_ms),), now_ms, always=True)
            failed.pop_all()
        return writer, SpoolDrainer(drain_log, store, adopted, backlog, quick_ms)

    @property
    def away(self) -> bool:
        """Whether the log is known to be away."""
        return self._backlog.away

    @property
    def spooled_bytes(self) -> int:
        """Give how much of the disk is taken by what is held back."""
        return self._backlog.size_bytes

    @property
    def state(self) -> SpoolState:
        """Give what is held back, for metrics. May be called by any thread."""
        return self._backlog.state

    @property
    def oldest_spooled_ts_ms(self) -> int | None:
        """Give the time of the oldest event that is held back, UTC epoch ms; None if there is none."""
        return self._backlog.oldest_ts_ms

    def append(self, events: Sequence[bytes], now_ms: int) -> None:
        """Append a batch to the log, or keep it in the spool. Raises LogError if neither can be."""
        self._append(events, (), now_ms)

    def append_control(self, record: Control, now_ms: int) -> None:
        """Append a control record. Raises LogError."""
        self._check_open()
        if isinstance(record, Heartbeat):
            self._say(msgspec.structs.replace(record, oldest_spooled_ts_ms=self.oldest_spooled_ts_ms), now_ms)
            return
        if isinstance(record, Opening) and record.edge_id not in {each.edge_id for each in (self._store, *self._later)}:
            self._later.append(SpoolStore.open(self._root, record.edge_id, now_ms, self._vfs))
        if isinstance(record, Closing) and not self._backlog.empty:
            self._keep((), (record,), now_ms, always=True)
        else:
            self._append((), (record,), now_ms, always=not isinstance(record, Lost))

    def append_together(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        """Append a batch and records behind it to the log, or keep all in the spool. Raises LogError."""
        self._append(events, records, now_ms)

    def close(self, closing: Control | None, now_ms: int) -> None:
        """Append `closing` if given, and let go; what is still spooled is left to the next start."""
        if self._backlog.closed:
            return
        closed = False
        try:
            if closing is not None:
                self.append_control(closing, now_ms)
                closed = self._backlog.empty
        finally:
            self._backlog.closed = True
            for store in (self._store, *self._later):
                if closed:
                    faultpoint.reach("spool.closed")
                    store.remove()
                else:
                    store.close()
            with contextlib.suppress(LogError):
                self._log.close(None, now_ms)

    def _append(
        self, events: Sequence[bytes], records: Sequence[Control], now_ms: int, *, always: bool = False
    ) -> None:
        """Append to the log or to the spool, even if that is full where `always` is set. Raises LogError."""
        self._check_open()
        if not self._backlog.away:
            try:
                self._send(events, records, now_ms)
            except LogError as error:
                self._backlog.turn_away(error)
            else:
                return
            self._keep(events, records, now_ms, always=always)
            return
        try:
            self._keep(events, records, now_ms, always=always)
        except LogError:
            # Nobody waits here for a log that the drainer can try: for that it needs something to try it with.
            if self._backlog.size_bytes and not self._backlog.unreadable:
                raise
            self._try(events, records, now_ms)

    def _try(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        """Append to a log that was away. Raises LogError."""
        self._send(events, records, now_ms)
        self._backlog.turn_back()

    def _send(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        if not records:
            self._log.append(events, now_ms)
        elif not events and len(records) == 1:
            self._log.append_control(records[0], now_ms)
        else:
            self._log.append_together(events, records, now_ms)

    def _say(self, heartbeat: Heartbeat, now_ms: int) -> None:
        if not self._backlog.away:
            try:
                self._log.append_control(heartbeat, now_ms)
            except LogError as error:
                self._backlog.turn_away(error)
        if self._backlog.away:
            self._backlog.unsaid = heartbeat

    def _keep(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int, *, always: bool) -> None:
        # As the segments will have them: one record for the batch, one for each control record.
        sizes = [disk_bytes(sum(map(len, events)))] if events else []
        sizes += [disk_bytes(len(encode_control(record))) for record in records]
        if not always and self._backlog.size_bytes + sum(sizes) > self._bytes_max:
            self._backlog.refused = True
            raise LogError(f"the spool is full ({self._bytes_max} bytes), and the log does not take what it holds")
        # Noted first: the drainer may see a record as soon as it is durable.
        for index, size in enumerate(sizes):
            self._backlog.add(size, _decode_time(events[0]).ts_ms if events and index == 0 else None)
        try:
            self._store.keep(events, records, now_ms)
        except LogError:
            for size in reversed(sizes):
                self._backlog.take_back(size)
            raise
        self._backlog.refused = False
        faultpoint.reach("spool.kept")

    def _check_open(self) -> None:
        if self._backlog.closed:
            raise LogClosedError(f"the spool of edge {self._store.edge_id} is closed")
