"""Any head, parsed by httptools and measured while it is unfinished (design section 8)."""

from typing import Final, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from adtally.edge.clicks import Request
from adtally.edge.clients import Client
from adtally.edge.heads import check_target, check_unfinished, check_version, read_head
from adtally.edge.responses import Refusal

_HEAD_END: Final = b"\r\n\r\n"


class Owner(Protocol):
    """Whose heads are parsed."""

    peer: Client
    deaf: bool

    def take(self, request: Request, *, close: bool, old: bool) -> None:
        """Answer a request. `close` says that none follows, `old` says HTTP/1.0. Raises Refusal."""
        ...

    def head_begins(self) -> None:
        """See to it that the head ends in time."""
        ...


class HeadParser:
    """Parses what one connection sends."""

    __slots__ = ("_bytes", "_headers", "_owner", "_parser", "_tail", "_target", "unfinished")

    def __init__(self, owner: Owner) -> None:
        self._owner: Final = owner
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._bytes = 0
        self._tail = b""
        self.unfinished = False
        """Whether a head has begun and not ended."""

    def forget(self) -> None:
        """Let go of httptools, which holds on to this: the collector need not come for a connection that ended."""
        self._parser = None

    def feed(self, data: bytes) -> None:
        """Parse. Raises Refusal, or what the owner raised."""
        assert self._parser is not None
        rest = data
        while rest and not self._owner.deaf:
            try:
                self._parser.feed_data(rest)
                break
            except HttpParserUpgrade as upgrade:
                # Nobody is upgraded: the request was answered as if the header were not there.
                rest = rest[upgrade.args[0] :]
            except HttpParserError as error:
                raise (error.__context__ or Refusal(400, "this is not a well-formed HTTP/1.1 request")) from None
        if (self.unfinished or data[-4:] != _HEAD_END) and not self._owner.deaf:
            self._measure(data)

    def _measure(self, data: bytes) -> None:
        """Count the bytes of a head that has not ended, which httptools keeps to itself, and start its clock."""
        tail = (self._tail + data)[-len(_HEAD_END) :]
        if tail == _HEAD_END:
            self._bytes, self.unfinished, self._tail = 0, False, b""
            return
        self._tail = tail[1:] if len(tail) == len(_HEAD_END) else tail
        if self._bytes:
            self._bytes += len(data)
        else:
            before = data.rfind(_HEAD_END)
            self._bytes = len(data) - (before + len(_HEAD_END) if before >= 0 else 0)
        if not self.unfinished:
            self.unfinished = True
            self._owner.head_begins()
        check_unfinished(self._bytes, self._target)

    def on_url(self, url: bytes) -> None:
        """Take a part of the request target (httptools)."""
        self._target += url
        # What came in one slice is short.
        if self.unfinished:
            check_target(self._target)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header (httptools)."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the request on: none that is answered here has a body (httptools)."""
        parser, target, headers, owner = self._parser, self._target, self._headers, self._owner
        assert parser is not None
        self._target, self._headers = b"", []
        # A head that came in one slice is short.
        short = not self.unfinished
        if not short:
            self._bytes, self.unfinished = 0, False
        request = read_head(parser.get_method(), target, headers, owner.peer, short=short)
        keep_alive = parser.should_keep_alive()
        old = False
        # Without a Connection header only HTTP/1.1 keeps alive, and asking for the version is slow.
        if not keep_alive or b"connection" in request.headers or b"host" not in request.headers:
            version = parser.get_http_version()
            check_version(version, request)
            old = version == "1.0"
        owner.take(request, close=not keep_alive, old=old)
