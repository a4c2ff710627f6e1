"""One keep-alive connection of the load: sends ready requests, pairs the answers with them."""

import asyncio
from collections import deque
from typing import Final, Protocol, cast

from adtally.traffic.plan import Attempt

_LENGTH: Final = b"\r\ncontent-length:"
_EVENT: Final = b"\r\nx-click-event:"
_UNRECORDED: Final = b"\r\nx-click-recorded: false"
_CLOSE: Final = b"\r\nconnection: close"

Waiting = tuple[Attempt, float, int]
"""An attempt that was sent: when it was intended (monotonic seconds), and when it was sent (epoch milliseconds)."""


class Answers(Protocol):
    """Who wants to know what became of attempts."""

    def connected(self, connection: "Connection") -> None:
        """Take note that `connection` can send."""
        ...

    def answered(self, waiting: Waiting, status: bytes, recorded: bool, event: bytes) -> None:
        """Take one answer; `event` is empty where the answer has no `X-Click-Event`."""
        ...

    def drained(self, connection: "Connection") -> None:
        """Take note that `connection` waits for no answer any more."""
        ...

    def broken(self, connection: "Connection", unanswered: list[Waiting]) -> None:
        """Take note that `connection` is gone, and with it the answers to `unanswered`."""
        ...


class Connection(asyncio.Protocol):
    """Answers come in the order of the requests (RFC 9112, section 9.3.2)."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._closing = False
        self.waiting: deque[Waiting] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Report for work."""
        self._transport = cast("asyncio.Transport", transport)
        self._answers.connected(self)

    @property
    def usable(self) -> bool:
        """Tell whether requests may still be sent."""
        return self._transport is not None and not self._closing

    def send(self, attempts: list[tuple[Attempt, float]], now_ms: int) -> None:
        """Send attempts, each with its intended time in monotonic seconds, in one write."""
        if self._transport is None:
            raise ConnectionError("the connection is not open")
        self.waiting.extend([(attempt, intended_s, now_ms) for attempt, intended_s in attempts])
        self._transport.write(b"".join([attempt.request for attempt, _ in attempts]))

    def abort(self) -> None:
        """Give the connection up; what waits is unanswered."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take the answers that are complete."""
        data = self._rest + data if self._rest else data
        start = 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            head = data[start:end]
            if not self.waiting or not (head.startswith(b"HTTP/1.") and head[9:12].isdigit()):
                self.abort()
                return
            names = head.lower()
            following = end + 4
            if self.waiting[0][0].kind != "head":
                following += int(_value(head, names, _LENGTH) or 0)
                if following > len(data):
                    break
            start = following
            self._take(head, names)
        self._rest = data[start:]
        if self._closing:
            self.abort()
        elif not self.waiting:
            self._answers.drained(self)

    def _take(self, head: bytes, names: bytes) -> None:
        status = head[9:12]
        recorded = status == b"302" and _UNRECORDED not in names
        # RFC 9112, section 9.6: nothing behind this answer will be answered.
        if _CLOSE in names:
            self._closing = True
        self._answers.answered(self.waiting.popleft(), status, recorded, _value(head, names, _EVENT))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own signature
        """Report what will never be answered."""
        self._closing = True
        unanswered = list(self.waiting)
        self.waiting.clear()
        self._answers.broken(self, unanswered)


def _value(head: bytes, names: bytes, field: bytes) -> bytes:
    """Give a header's value from `head`, whose lower case is `names`; empty where it is absent."""
    at = names.find(field)
    if at < 0:
        return b""
    at += len(field)
    end = head.find(b"\r\n", at)
    return (head[at:] if end < 0 else head[at:end]).strip()
