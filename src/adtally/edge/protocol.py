"""One HTTP/1.1 connection (RFC 9112): requests in, responses out in their order, within limits (design section 8)."""

import asyncio
from collections import deque
from typing import Final, cast

from adtally.edge.clicks import Request
from adtally.edge.exchange import Reply, Site
from adtally.edge.parsing import HeadParser
from adtally.edge.responses import Refusal

OUTSTANDING_MAX: Final = 64
"""Unanswered requests of one connection; more are not read until some are answered."""
SLICE_BYTES: Final = 2_048
"""Input is parsed in pieces of this size, so that one read cannot bring many more requests than OUTSTANDING_MAX."""
LINGER_S: Final = 2.0
"""After a refusal the rest of the input is thrown away for so long: closing at once would reset the connection, and the
client would never see the answer."""


class Connection(asyncio.Protocol):
    """Parses, keeps order, and closes when it must."""

    bucket = -1

    def __init__(self, site: Site) -> None:
        self.site: Final = site
        self._read_plain: Final = site.read_plain
        self.transport: asyncio.Transport | None = None
        self.parser: HeadParser | None = None
        """None as long as plain heads came only."""
        self.outstanding: deque[Reply] = deque()
        self.head_since_s = 0.0
        """When the parser's unfinished head began."""
        self.idle_since_s = site.now_s
        self.write_paused_since_s = 0.0
        self.backlog = b""
        """Input that was read and waits until requests before it are answered."""
        self.reading_paused = False
        self.deaf = False
        """No further request is taken: the connection closes after the last response."""
        self.linger_until_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it at once where there are too many."""
        # uvloop's transports have the methods of asyncio.Transport without being its subclass.
        transport = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        client = self.site.connected(self, peername[0]) if peername else None
        if client is None:
            self.deaf = True
            transport.abort()
            return
        self.peer = client
        self.transport = transport
        self.site.deadlines.watch(self, self.idle_since_s + self.site.idle_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget everything; clicks that wait for the log are kept all the same."""
        if self.transport is not None:
            self.site.disconnected(self)
            self.site.deadlines.forget(self)
        if self.parser is not None:
            self.parser.forget()
        self.transport = self.parser = None
        self.outstanding.clear()
        self.backlog = b""
        self.deaf = True

    def data_received(self, data: bytes) -> None:
        """Parse what came, as far as answers may be outstanding."""
        if self.deaf:
            return
        if self.reading_paused:
            self.backlog += data
            return
        parser = self.parser
        if len(data) > SLICE_BYTES:
            self._parse_slices(data)
        # Between two heads the parser, if there is one, does not miss those that are plain.
        elif (parser is None or not parser.unfinished) and (request := self._read_plain(data, self.peer)) is not None:
            reply = Reply(self, request.headers.get(b"connection") == b"close")
            try:
                self.site.click(request, reply)
            except Exception as error:  # noqa: BLE001 - reported
                self._fail(error)
            else:
                self.deaf = reply.close
                self.outstanding.append(reply)
        else:
            self._parse(data)
        outstanding = self.outstanding
        if outstanding and outstanding[0].ready:
            self._write_ready()
        if len(outstanding) >= OUTSTANDING_MAX or self.write_paused_since_s:
            self._pause_reading()

    def _parse_slices(self, data: bytes) -> None:
        for start in range(0, len(data), SLICE_BYTES):
            if len(self.outstanding) >= OUTSTANDING_MAX:
                self._write_ready()
            if self.deaf:
                return
            if len(self.outstanding) >= OUTSTANDING_MAX or self.write_paused_since_s:
                self.backlog = data[start:]
                return
            self._parse(data[start : start + SLICE_BYTES])

    def _parse(self, data: bytes) -> None:
        if self.parser is None:
            self.parser = HeadParser(self)
        try:
            self.parser.feed(data)
        except Exception as error:  # noqa: BLE001 - reported, or a Refusal
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.deaf:
            self._refuse(error if isinstance(error, Refusal) else self.site.defect(error))

    def head_begins(self) -> None:
        """See to it that an unfinished head ends in time."""
        self.head_since_s = self.site.now_s
        self.site.deadlines.watch(self, self.head_since_s + self.site.head_timeout_s)

    def take(self, request: Request, *, close: bool, old: bool) -> None:
        """Answer a request, and take no further one if the client says `close`. Raises Refusal."""
        reply = Reply(self, close)
        self.site.handle(request, reply, old=old)
        if close:
            self.deaf = True
        self.outstanding.append(reply)

    def eof_received(self) -> bool:
        """Answer what was asked before the client ended its side, then close."""
        self.deaf = True
        if self.outstanding and not self.linger_until_s:
            self.outstanding[-1].close = True
            return True
        return False

    def settled(self) -> None:
        """Write what is ready, the first outstanding reply being so, and go on reading."""
        outstanding = self.outstanding
        if len(outstanding) == 1 and not outstanding[0].close and self.transport is not None:
            self.transport.write(outstanding.popleft().data)
            self.idle_since_s = self.site.now_s
        else:
            self._write_ready()
        if self.reading_paused:
            self._resume_reading()

    def _write_ready(self) -> None:
        outstanding, transport = self.outstanding, self.transport
        if transport is None or not outstanding or not outstanding[0].ready:
            return
        reply = outstanding.popleft()
        data = reply.data
        if outstanding and outstanding[0].ready and not reply.close:
            chunks = [data]
            while outstanding and outstanding[0].ready and not reply.close:
                reply = outstanding.popleft()
                chunks.append(reply.data)
            data = b"".join(chunks)
        transport.write(data)
        self.idle_since_s = self.site.now_s
        if reply.close:
            self._finish()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer after all that is outstanding, then close, letting the client read the answer."""
        self.deaf = True
        reply = Reply(self, True)
        self.site.refuse(refusal, reply)
        self.outstanding.append(reply)
        self.linger_until_s = self.site.now_s + LINGER_S
        self._write_ready()

    def _finish(self) -> None:
        assert self.transport is not None
        self.deaf = True
        self.backlog = b""
        if not self.linger_until_s:
            self.transport.close()
            return
        if self.reading_paused:
            self.reading_paused = False
            self.transport.resume_reading()
        self.transport.write_eof()
        self.linger_until_s = self.site.now_s + LINGER_S
        self.site.deadlines.watch(self, self.linger_until_s)

    def _pause_reading(self) -> None:
        if self.transport is not None and not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self.reading_paused or self.write_paused_since_s or len(self.outstanding) >= OUTSTANDING_MAX // 2:
            return
        self.reading_paused = False
        backlog, self.backlog = self.backlog, b""
        if backlog:
            self.data_received(backlog)
        if self.transport is not None and not self.reading_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """Read no more requests from a client that does not read its responses."""
        self.write_paused_since_s = self.site.now_s
        self._pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self.write_paused_since_s = 0.0
        self._resume_reading()

    def check(self, now_s: float) -> float | None:
        """Close if a limit of time has passed, else give when to look again."""
        if self.transport is None:
            return None
        idle_timeout_s = self.site.idle_timeout_s
        if self.transport.is_closing() or (self.linger_until_s and not self.outstanding):
            return self._abort_at(max(self.linger_until_s, self.idle_since_s + LINGER_S), now_s)
        if self.write_paused_since_s:
            return self._abort_at(self.write_paused_since_s + idle_timeout_s, now_s)
        if self.parser is not None and self.parser.unfinished:
            if now_s >= self.head_since_s + self.site.head_timeout_s and not self.deaf:
                self._refuse(Refusal(408, "the request's head did not come in time"))
                return now_s + LINGER_S
            return self.head_since_s + self.site.head_timeout_s
        if self.outstanding:
            return now_s + self.site.head_timeout_s
        if now_s >= self.idle_since_s + idle_timeout_s:
            self.transport.close()
            return now_s + LINGER_S
        return self.idle_since_s + idle_timeout_s

    def _abort_at(self, deadline_s: float, now_s: float) -> float | None:
        if now_s < deadline_s or self.transport is None:
            return deadline_s
        self.transport.abort()
        return None

    def close_idle(self, idle_s: float) -> None:
        """Close if nothing was asked for `idle_s` and nothing is being asked now."""
        busy = self.outstanding or self.backlog or (self.parser is not None and self.parser.unfinished)
        if self.transport is not None and not busy and self.site.now_s - self.idle_since_s >= idle_s:
            self.transport.close()

    def stop(self) -> None:
        """Take no more requests; close after what is outstanding."""
        self.deaf = True
        if self.transport is None or self.linger_until_s:
            return
        if self.outstanding:
            self.outstanding[-1].close = True
        else:
            self.transport.close()

    def abort(self) -> None:
        """Close without another word."""
        if self.transport is not None:
            self.transport.abort()
