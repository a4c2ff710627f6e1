"""The log writer of one edge worker."""

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from adtally.errors import LogClosedError, LogError
from adtally.event import (
    Closing,
    Control,
    Opening,
    decode_control,
    decode_event,
    encode_control,
)
from adtally.eventlog.port import Partition
from adtally.eventlog.sqlite.ahead import Ahead
from adtally.eventlog.sqlite.segment import (
    DAMAGE,
    N_MAX,
    Header,
    Kind,
    checksum,
    connect,
    create,
    make_durable,
    read_header,
    segment_numbers,
    segment_path,
    wal_bytes,
)
from adtally.folder import sync_folder
from adtally.telemetry import log

LOCK_WAIT_S_MAX: Final = 10.0
_INSERT: Final = "INSERT INTO record (n, kind, appended_ms, crc, payload) VALUES (?, ?, ?, ?, ?)"


class EdgeEnd(msgspec.Struct, frozen=True):
    """How far the last edge of a partition came, as its log tells."""

    edge_id: str
    last_seq: int
    ts_ms: int
    closed: bool = False
    retired: bool = False


class SqliteLogWriter:
    """Implements LogWriter. `open` takes the partition over from whoever wrote it before."""

    def __init__(self, folder: Path, lock: int, segment_bytes: int, vfs: str | None) -> None:
        self._folder = folder
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._vfs = vfs
        self._connection: apsw.Connection | None = None
        # Of a failed commit. While it is open no reader recovers the WAL, where what failed may stand complete.
        self._failed: apsw.Connection | None = None
        self._ahead: Ahead | None = None
        self._closed = False
        self._number = 0
        self._n = 0
        self._bytes = 0
        self._highest = max(segment_numbers(folder), default=0)

    @classmethod
    def open(
        cls, root: Path, partition: Partition, edge_id: str, now_ms: int, segment_bytes: int, vfs: str | None = None
    ) -> "SqliteLogWriter":
        """Take the partition over: close the log of an edge that vanished, and write the Opening of `edge_id`.

        Waits some seconds for a predecessor that is about to end. Raises LogError.
        """
        folder = root / partition
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(root)
        writer = cls(folder, _take_lock(folder), segment_bytes, vfs)
        try:
            end = writer._find_predecessor()
            if end is not None and not end.closed:
                if end.last_seq > 0:
                    log.warning("closing the log of an edge that vanished", edge_id=end.edge_id, last_seq=end.last_seq)
                writer.append_control(Closing(end.edge_id, end.last_seq, max(end.ts_ms, now_ms)), now_ms)
            writer.append_control(Opening(edge_id, now_ms), now_ms)
        except BaseException:
            writer.close(None, now_ms)
            raise
        return writer

    @classmethod
    def retire(cls, root: Path, partition: Partition, now_ms: int, vfs: str | None = None) -> None:
        """Close a partition that has no writer from now on, so that readers do not wait for it. Raises LogError."""
        folder = root / partition
        writer = cls(folder, _take_lock(folder), 1, vfs)
        try:
            end = writer._find_predecessor()
            if end is None:
                # Nobody ever wrote here, but a folder is enough for readers to wait: its writer died too early.
                end = EdgeEnd("", 0, now_ms)
            if not end.retired:
                closing = Closing(end.edge_id, end.last_seq, max(end.ts_ms, now_ms), retired=True)
                writer.append_control(closing, now_ms)
        finally:
            writer.close(None, now_ms)

    @classmethod
    def expect(cls, root: Path, partition: Partition, edge_id: str, now_ms: int, vfs: str | None = None) -> None:
        """Make readers wait for a partition whose writer is about to start. Raises LogError."""
        folder = root / partition
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(root)
        writer = cls(folder, _take_lock(folder), 1, vfs)
        try:
            end = writer._find_predecessor()
            if end is not None and end.retired:
                writer.append_control(Opening(edge_id, now_ms), now_ms)
        finally:
            writer.close(None, now_ms)

    def append(self, events: Sequence[bytes], now_ms: int) -> None:
        """Append a batch, durably. Raises LogError."""
        self._commit(Kind.EVENTS, b"\n".join(events), now_ms)

    def append_control(self, record: Control, now_ms: int) -> None:
        """Append a control record, durably. Raises LogError."""
        self._commit(Kind.CONTROL, encode_control(record), now_ms)

    def append_together(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        """Append a batch and control records behind it in one transaction. Raises LogError."""
        batch = [(Kind.EVENTS, b"\n".join(events))] if events else []
        payloads = [*batch, *((Kind.CONTROL, encode_control(record)) for record in records)]
        connection = self._ready_connection()
        rows = [
            (self._n + index, int(kind), now_ms, checksum(now_ms, payload), payload)
            for index, (kind, payload) in enumerate(payloads, start=1)
        ]
        try:
            with connection:
                connection.executemany(_INSERT, rows)
        except apsw.Error as error:
            raise self._give_up(error) from error
        self._kept(connection, len(rows), sum(len(payload) for _, payload in payloads))

    def close(self, closing: Control | None, now_ms: int) -> None:
        """Append `closing` if given, and let go of the partition."""
        if self._closed:
            return
        try:
            if closing is not None:
                self.append_control(closing, now_ms)
        finally:
            self._closed = True
            self._drop_connections()
            os.close(self._lock)

    def _commit(self, kind: Kind, payload: bytes, now_ms: int) -> None:
        connection = self._ready_connection()
        try:
            # One statement is one transaction: when it returns, the WAL is synced.
            connection.execute(_INSERT, (self._n + 1, int(kind), now_ms, checksum(now_ms, payload), payload))
        except apsw.Error as error:
            raise self._give_up(error) from error
        self._kept(connection, 1, len(payload))

    def _kept(self, connection: apsw.Connection, records: int, payload_bytes: int) -> None:
        self._n += records
        self._bytes += payload_bytes
        assert self._ahead is not None
        self._ahead.keep(wal_bytes(connection))

    def _ready_connection(self) -> apsw.Connection:
        if self._closed:
            raise LogClosedError(f"the log writer of {self._folder} is closed")
        if self._connection is None or self._bytes >= self._segment_bytes:
            self._begin_segment()
        assert self._connection is not None
        return self._connection

    def _give_up(self, error: apsw.Error) -> LogError:
        # What was written may or may not survive; the next segment's header declares it void.
        self._failed, self._connection = self._connection, None
        return LogError(f"{self._folder}: the log cannot be written: {error}")

    def _begin_segment(self) -> None:
        self._highest += 1
        path = segment_path(self._folder, self._highest)
        connection: apsw.Connection | None = None
        try:
            connection = create(path, Header(self._number, self._n), self._vfs)
            sync_folder(self._folder)
        except (apsw.Error, OSError) as error:
            self._let_go(connection)
            for leftover in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                leftover.unlink(missing_ok=True)
            raise LogError(f"{path}: a new segment cannot be made: {error}") from error
        self._drop_connections()
        self._connection, self._ahead = connection, Ahead(path)
        self._number, self._n, self._bytes = self._highest, 0, 0

    def _drop_connections(self) -> None:
        self._let_go(self._connection)
        self._let_go(self._failed)
        self._connection = self._failed = None

    def _let_go(self, connection: apsw.Connection | None) -> None:
        if connection is not None:
            try:
                connection.close()
            except apsw.Error as error:
                log.warning("a segment did not close cleanly", segment=self._number, error=str(error))

    def _find_predecessor(self) -> EdgeEnd | None:
        """Find the newest complete segment, and in it or before it how far its edge came."""
        headers = {n: read_header(segment_path(self._folder, n), self._vfs) for n in segment_numbers(self._folder)}
        complete = [number for number, header in headers.items() if header is not None]
        if not complete:
            return None
        end: EdgeEnd | None = None
        number, limit = complete[-1], N_MAX
        self._number = number
        while number in headers and end is None:
            n, end = _last_state(segment_path(self._folder, number), limit, self._vfs)
            if number == self._number:
                self._n = n
            header = headers[number]
            assert header is not None
            number, limit = header.previous, header.previous_end
        return end


def _last_state(path: Path, n_max: int, vfs: str | None) -> tuple[int, EdgeEnd | None]:
    """Give a segment's last record number up to `n_max`, and what its last telling record says of its edge."""
    try:
        connection = connect(path, apsw.SQLITE_OPEN_READWRITE, vfs)
        try:
            last: int = connection.execute("SELECT coalesce(max(n), 0) FROM record WHERE n <= ?", (n_max,)).get
            make_durable(path)
            rows = connection.execute("SELECT kind, payload FROM record WHERE n <= ? ORDER BY n DESC", (n_max,))
            for kind, payload in rows:
                end = _end_of(kind, payload)
                if end is not None:
                    return last, end
        finally:
            connection.close()
    except DAMAGE as error:
        # Clicks go on: what can be read of the damaged segment is the readers' matter.
        log.error("the predecessor's segment is damaged", path=str(path), error=str(error))
        return n_max, None
    except apsw.Error as error:
        raise LogError(f"{path}: the predecessor's segment cannot be read: {error}") from error
    return last, None


def _end_of(kind: int, payload: bytes) -> EdgeEnd | None:
    try:
        if kind == Kind.EVENTS:
            event = decode_event(payload[payload.rfind(b"\n") + 1 :])
            return EdgeEnd(event.edge_id, event.seq, event.ts_ms)
        record = decode_control(payload)
    except msgspec.MsgspecError:
        return None
    if isinstance(record, Opening):
        return EdgeEnd(record.edge_id, 0, record.ts_ms)
    if isinstance(record, Closing):
        return EdgeEnd(record.edge_id, record.last_seq, record.ts_ms, closed=True, retired=record.retired)
    return EdgeEnd(record.edge_id, record.last_seq, record.ts_ms)


def _take_lock(folder: Path) -> int:
    """Lock the partition. A predecessor that was killed let go already; one that is ending gets some seconds."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = LOCK_WAIT_S_MAX
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if deadline <= 0:
                os.close(descriptor)
                raise LogError(f"{folder} is still written by another process: end it first") from None
            time.sleep(0.05)
            deadline -= 0.05
        else:
            return descriptor
