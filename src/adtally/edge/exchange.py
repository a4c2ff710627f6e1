"""What a connection and its worker say to each other."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from adtally.edge.clicks import Request
from adtally.edge.clients import Client
from adtally.edge.deadlines import Deadlines
from adtally.edge.responses import Refusal

if TYPE_CHECKING:
    from adtally.edge.protocol import Connection


class Reply(msgspec.Struct, gc=False, eq=False):
    """A place in a connection's order of responses. `data` is written when it and all before it are `ready`.

    A connection forgets its replies when it ends, which breaks the cycle that the collector is spared.
    """

    connection: "Connection"
    close: bool
    data: bytes = b""
    ready: bool = False


class Site(Protocol):
    """What a connection needs of its worker."""

    now_s: float
    """Monotonic seconds, as of the last tick: good enough for limits of seconds."""
    head_timeout_s: float
    idle_timeout_s: float
    deadlines: Deadlines["Connection"]

    def connected(self, connection: "Connection", host: str) -> Client | None:
        """Take note of a new connection; None if there are too many."""
        ...

    def disconnected(self, connection: "Connection") -> None:
        """Take note of the end of a connection that was taken."""
        ...

    def handle(self, request: Request, reply: Reply, *, old: bool) -> None:
        """Answer a request: fill in `reply` now, or later and then call `settled`. `old` says HTTP/1.0."""
        ...

    @property
    def read_plain(self) -> Callable[[bytes, Client], Request | None]:
        """`PlainHeads.read`, for all connections."""
        ...

    def click(self, request: Request, reply: Reply) -> None:
        """Answer a request for `/click` as `handle` does."""
        ...

    def refuse(self, refusal: Refusal, reply: Reply) -> None:
        """Fill in the answer to a request that cannot be served."""
        ...

    def defect(self, error: BaseException) -> Refusal:
        """Report an error that nobody expected, and give what the client is told."""
        ...
