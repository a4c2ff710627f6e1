"""Responses as bytes. Nothing that a client sent is ever written into a text."""

from email.utils import formatdate
from typing import Final, Literal

Status = Literal[200, 400, 403, 404, 405, 408, 414, 431, 500, 503]

REASONS: Final[dict[Status, str]] = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

TEXT: Final = "text/plain; charset=utf-8"
NOT_RECORDED: Final = b"X-Click-Recorded: false\r\n"
CLOSE: Final = b"Connection: close\r\n"
KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"


class Refusal(Exception):  # noqa: N818 - not an error of ours: the answer to a request that cannot be served
    """A request that is answered with a status and a short text, after which the connection closes."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status: Status = status
        self.text = text


class DateLine:
    """The Date header (RFC 9110 section 6.6.1), formatted once a second; and what every 302 begins with."""

    def __init__(self, now_ms: int) -> None:
        self._second = -1
        self.refresh(now_ms)

    def refresh(self, now_ms: int) -> None:
        """Take note of the time; to be called several times a second."""
        if now_ms // 1000 == self._second:
            return
        self._second = now_ms // 1000
        self.line = f"Date: {formatdate(self._second, usegmt=True)}\r\n".encode("ascii")
        self.redirect = (
            b"HTTP/1.1 302 Found\r\n" + self.line + b"Cache-Control: no-store\r\nContent-Length: 0\r\nLocation: "
        )


def with_body(date: DateLine, status: Status, body: bytes, *, head: bool, close: bool, more: bytes = b"") -> bytes:
    """Give a response with a body, or to a HEAD request the same header without it. `more` is whole header lines."""
    content_type = b"" if b"Content-Type:" in more else f"Content-Type: {TEXT}\r\n".encode("ascii")
    header = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\n".encode("ascii")
        + date.line
        + content_type
        + f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n".encode(
            "ascii"
        )
        + more
        + (CLOSE if close else b"")
        + b"\r\n"
    )
    return header if head else header + body


def not_recorded(response: bytes) -> bytes:
    """Add to a finished 302 that its click is not kept."""
    return response[:-2] + NOT_RECORDED + b"\r\n"
