"""What an address of the API is: one row of the table that drives routing, checking and the documentation."""

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from adtally.serve.body import JSON_BYTES_MAX
from adtally.serve.caller import Body, Call, Params
from adtally.serve.problems import Kind
from adtally.serve.ranges import Range
from adtally.serve.scope import Scope

Who = Literal["anyone", "any key", "admin"]
PoolName = Literal["olap", "registry", "changes"]

Answer = TypeVar("Answer")


class NoBody(msgspec.Struct, frozen=True):
    """Stands for the body of a request that has none."""


NO_BODY: Final = NoBody()


class Lines(msgspec.Struct, frozen=True):
    """A body of newline-delimited JSON, as it came: its lines are judged one by one."""

    raw: bytes


class Download(msgspec.Struct, frozen=True):
    """An answer that is a file."""

    content: bytes
    media_type: str
    file_name: str


class Streamed(msgspec.Struct, frozen=True):
    """An answer that is too long for one piece; a file if it has a name."""

    chunks: Iterator[bytes]
    media_type: str = "application/json"
    file_name: str | None = None


class Following(msgspec.Struct, frozen=True):
    """An answer of events that ends when the client goes: what it is about."""

    scope: Scope


class SetCookie(msgspec.Struct, frozen=True):
    """An answer without content that sets a cookie; `header` is the value of Set-Cookie."""

    header: str

    def __repr__(self) -> str:
        """Give a text without the secret, for logs and stack traces."""
        return "SetCookie()"


class Endpoint(msgspec.Struct, Generic[Params, Body], frozen=True, kw_only=True):
    """One method of one address.

    `handler` runs in a thread of `pool`. It gives an `answer`, or a Download, Streamed or Following of the same
    content, or a SetCookie where `status` is 204, and raises errors of the tree. `params` has a field for each
    parameter of the path and the query.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    summary: str
    description: str = ""
    params: type[Params]
    body: type[Body]
    line: type[msgspec.Struct] | None = None
    """Of a body of Lines: what each of them is."""
    body_bytes_max: int = JSON_BYTES_MAX
    answer: type[Any]
    media_type: str = "application/json"
    status: int = 200
    who: Who = "any key"
    pool: PoolName = "olap"
    refusals: tuple[Kind, ...] = ()
    """Beyond those that every address has."""
    repeatable: bool = False
    """A change that an `Idempotency-Key` lets nobody make twice."""
    reads: Callable[[Call[Params, Body]], Range] | None = None
    """Gives all the time that an answer is made of, before anything is read; answers are then shared, and kept."""
    handler: Callable[[Call[Params, Body]], Any]

    @property
    def path_params(self) -> list[str]:
        """Give the names of the parameters in the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
