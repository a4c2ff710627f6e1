"""What a request's head must be like, beyond what httptools sees to by itself (design section 8, RFC 9112)."""

from collections.abc import Sequence
from typing import Final

from adtally.edge.clicks import Request
from adtally.edge.clients import Client
from adtally.edge.responses import Refusal
from adtally.edge.verdicts import PREFETCH_HEADERS, PURPOSE

REQUEST_LINE_BYTES_MAX: Final = 8_192
HEADER_BYTES_MAX: Final = 8_192
"""Of all names and values, with four bytes for each header's colon, space and line end."""
HEADERS_MAX: Final = 100
REQUEST_LINE_REST_BYTES: Final = len(b"GET  HTTP/1.1\r\n")

_LENGTH: Final = b"content-length"
_ENCODING: Final = b"transfer-encoding"
_KEPT: Final = (b"host", b"user-agent", b"cookie", b"referer", b"x-forwarded-for", b"connection", _LENGTH, _ENCODING)
WANTED: Final = {name: name for name in _KEPT} | dict.fromkeys(PREFETCH_HEADERS, PURPOSE)
"""The headers that are kept, with the name under which they are found."""
IGNORED: Final = (
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"cache-control",
    b"dnt",
    b"origin",
    b"pragma",
    b"priority",
    b"sec-ch-ua",
    b"sec-ch-ua-mobile",
    b"sec-ch-ua-platform",
    b"sec-fetch-dest",
    b"sec-fetch-mode",
    b"sec-fetch-site",
    b"sec-fetch-user",
    b"sec-gpc",
    b"upgrade-insecure-requests",
    b"via",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-real-ip",
)
SPELLED: Final[dict[bytes, bytes | None]] = {
    spelled: WANTED.get(name) for name in (*WANTED, *IGNORED) for spelled in (name, name.title())
}
"""Header names as browsers and proxies spell them, to be found without making them lower case first."""
_UNUSUAL: Final = b""

Headers = Sequence[tuple[bytes, bytes]]


def check_target(target: bytes) -> None:
    """Refuse a request target that is too long, finished or not."""
    if len(target) > REQUEST_LINE_BYTES_MAX - REQUEST_LINE_REST_BYTES:
        raise Refusal(414, f"the request line is longer than {REQUEST_LINE_BYTES_MAX} bytes")


def check_unfinished(head_bytes: int, target: bytes) -> None:
    """Refuse a head that has grown too long without ending; the target was checked before."""
    if head_bytes - len(target) - REQUEST_LINE_REST_BYTES > HEADER_BYTES_MAX:
        raise Refusal(431, f"the headers have more than {HEADER_BYTES_MAX} bytes")


def read_head(method: bytes, target: bytes, headers: Headers, peer: Client, *, short: bool) -> Request:
    """Give the request of a finished head, `short` being known to be within HEADER_BYTES_MAX. Raises Refusal."""
    if target[:1] != b"/" or b"#" in target:
        raise Refusal(400, "the request target must begin with / and have no fragment")
    if len(headers) > HEADERS_MAX:
        raise Refusal(431, f"there are more than {HEADERS_MAX} headers")
    if not short and sum(len(name) + len(value) + 4 for name, value in headers) > HEADER_BYTES_MAX:
        raise Refusal(431, f"the headers have more than {HEADER_BYTES_MAX} bytes")
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        wanted = SPELLED.get(name, _UNUSUAL)
        if wanted is _UNUSUAL:
            wanted = WANTED.get(name.lower())
        if wanted is None:
            continue
        if wanted not in found:
            found[wanted] = value
        elif wanted == b"host":
            raise Refusal(400, "there is more than one Host header")
        else:
            found[wanted] += (b"; " if wanted == b"cookie" else b", ") + value
    body = _ENCODING in found or (_LENGTH in found and found[_LENGTH].strip(b"0 \t") != b"")
    if body and method in (b"GET", b"HEAD"):
        raise Refusal(400, "a GET or HEAD request here has no body")
    path, _, query = target.partition(b"?")
    return Request(method, path, query, found, peer, body)


def check_version(version: str, request: Request) -> None:
    """Refuse versions that httptools knows and we do not, and HTTP/1.1 without a Host (RFC 9112 section 3.2)."""
    if version not in ("1.0", "1.1"):
        raise Refusal(400, "the HTTP version must be 1.0 or 1.1")
    if version == "1.1" and b"host" not in request.headers:
        raise Refusal(400, "there is no Host header")
