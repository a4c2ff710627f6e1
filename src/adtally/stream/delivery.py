"""Carries the stream's rows to the store, in a thread beside the stream: over a loopback HTTP endpoint, or straight."""

import http.client
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

import msgspec

from adtally.errors import StoreUnavailableError
from adtally.olap.port import OlapWriter
from adtally.stream.port import LiveFlush, LiveSink, ReportBoard
from adtally.telemetry import log

LIVE_PATH: Final = "/live"
TIMEOUT_S: Final = 30.0

_encode: Final = msgspec.msgpack.Encoder().encode


class HttpLiveSink:
    """Implements LiveSink: posts each flush to the store process, over a connection that is kept."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/msgpack"}

    def deliver(self, flush: LiveFlush) -> None:
        """Post the rows; on return readers see them. Raises StoreUnavailableError."""
        try:
            self._connection.request("POST", LIVE_PATH, _encode(flush), self._headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise StoreUnavailableError(f"the store does not take rows: {error!r}") from error
        if response.status != http.client.NO_CONTENT:
            raise StoreUnavailableError(f"the store does not take rows: {response.status} {body[:200]!r}")


class WriterSink:
    """Implements LiveSink: writes to the store itself, and notes the report where all streams' reports are."""

    def __init__(self, writer: OlapWriter, board: ReportBoard) -> None:
        self._writer = writer
        self._board = board

    def deliver(self, flush: LiveFlush) -> None:
        """Append the rows; on return readers see them. Raises StoreUnavailableError."""
        if len(flush.rows):
            self._writer.append_live(flush.rows)
        try:
            # Only behind the rows: the report says that they are there.
            self._board.note(flush.report)
        except StoreUnavailableError as error:
            # The rows are in. The next report says all that this one does.
            log.warning("how far the stream has come could not be noted", error=str(error))


class ThreadPump:
    """Implements Pump: delivers in a thread of its own, so that counting goes on."""

    def __init__(self, sink: LiveSink) -> None:
        self._sink = sink
        self._thread = ThreadPoolExecutor(1, "deliver")
        self._delivery: Future[None] | None = None

    def start(self, flush: LiveFlush) -> None:
        """Begin a delivery."""
        self._delivery = self._thread.submit(self._sink.deliver, flush)

    def finished(self) -> bool | None:
        """Tell how the delivery ended, None while it is under way."""
        if self._delivery is None or not self._delivery.done():
            return None
        delivery, self._delivery = self._delivery, None
        try:
            delivery.result()
        except StoreUnavailableError as error:
            log.warning("rows wait for the store", error=str(error))
            return False
        return True

    def close(self) -> None:
        """Wait for the delivery that is under way."""
        self._thread.shutdown()
