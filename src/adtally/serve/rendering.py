"""From what a handler gives to the bytes that leave, with the fields that say who may keep them (RFC 9110, 9111)."""

from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from adtally.serve.caller import Call
from adtally.serve.endpoint import Download, Endpoint, Following, SetCookie, Streamed
from adtally.serve.pool import Pool

COMPRESSED_BYTES_MIN: Final = 1_024
WHOLE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of an answer in pieces: up to here it is put together, so that it can be kept and compared."""

NO_STORE: Final[dict[str, str]] = {"Cache-Control": "no-store"}
"""Of answers to admins only, and to changes: secrets, and what people sent. Nobody may keep them."""

ASK_AGAIN: Final = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
"""A browser may keep it for its one user, and must ask before each use whether it still is so."""

_encode: Final = msgspec.json.Encoder().encode


class Whole(msgspec.Struct, frozen=True):
    """An answer in one piece; `tag` names its content."""

    status: int
    media_type: str
    file_name: str | None
    body: bytes
    tag: str


class Cookie(msgspec.Struct, frozen=True):
    """An answer that says nothing and sets a cookie."""

    status: int
    header: str


class Pieces(msgspec.Struct, frozen=True):
    """An answer that is made while it is sent, and can be sent once."""

    status: int
    media_type: str
    file_name: str | None
    chunks: Iterator[bytes]


Rendered = Whole | Pieces | Cookie | Following


def render(endpoint: Endpoint[Any, Any], call: Call[Any, Any]) -> Rendered:
    """Run the handler. Blocks; raises what the handler raises."""
    handler: Callable[[Call[Any, Any]], object] = endpoint.handler
    answer = handler(call)
    if isinstance(answer, Download):
        return _whole(endpoint.status, answer.media_type, answer.content, answer.file_name)
    if isinstance(answer, Following):
        return answer
    if isinstance(answer, SetCookie):
        return Cookie(endpoint.status, answer.header)
    if not isinstance(answer, Streamed):
        return _whole(endpoint.status, "application/json", _encode(answer))
    if endpoint.reads is None or (call.head and answer.file_name is not None):
        return Pieces(endpoint.status, answer.media_type, answer.file_name, answer.chunks)
    begun: list[bytes] = []
    size = 0
    for chunk in answer.chunks:
        begun.append(chunk)
        size += len(chunk)
        if size > WHOLE_BYTES_MAX:
            return Pieces(endpoint.status, answer.media_type, answer.file_name, chain(begun, answer.chunks))
    return _whole(endpoint.status, answer.media_type, b"".join(begun), answer.file_name)


def respond(found: Whole | Pieces | Cookie, endpoint: Endpoint[Any, Any], asked: Headers, pool: Pool) -> Response:
    """Give the response to a request with the header fields `asked`: 304 if the asker has this already."""
    may_keep = endpoint.method == "GET" and endpoint.who == "any key"
    if isinstance(found, Pieces):
        fields = NO_STORE | _named(found.file_name)
        return StreamingResponse(_pulled(found.chunks, pool), found.status, fields, found.media_type)
    if isinstance(found, Cookie):
        return Response(None, found.status, NO_STORE | {"Set-Cookie": found.header})
    fields = dict(NO_STORE)
    if may_keep:
        packed = len(found.body) >= COMPRESSED_BYTES_MIN and "gzip" in asked.get("accept-encoding", "")
        # The compressed answer is another representation, and a strong tag is of one only (RFC 9110, 8.8.3.3).
        tag = f'"{found.tag}-gzip"' if packed else f'"{found.tag}"'
        fields = ASK_AGAIN | {"ETag": tag}
        if _has(asked.getlist("if-none-match"), tag):
            return Response(status_code=304, headers=fields | {"Vary": f"{ASK_AGAIN['Vary']}, Accept-Encoding"})
    return Response(found.body, found.status, fields | _named(found.file_name), found.media_type)


def _whole(status: int, media_type: str, body: bytes, file_name: str | None = None) -> Whole:
    return Whole(status, media_type, file_name, body, blake2b(body, digest_size=16).hexdigest())


def _named(file_name: str | None) -> dict[str, str]:
    return {} if file_name is None else {"Content-Disposition": f'attachment; filename="{file_name}"'}


def _has(given: list[str], tag: str) -> bool:
    """Tell whether If-None-Match names a tag; the comparison is the weak one (RFC 9110, 13.1.2)."""
    tags = [part.strip().removeprefix("W/") for field in given for part in field.split(",")]
    return tag in tags or "*" in tags


async def _pulled(chunks: Iterator[bytes], pool: Pool) -> AsyncIterator[bytes]:
    """Make each chunk in a thread when the one before has been sent: a slow reader costs no memory."""
    while (chunk := await pool.run(next, chunks, None)) is not None:
        yield chunk
