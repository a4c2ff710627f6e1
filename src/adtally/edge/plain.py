"""Heads of clicks as browsers send them, read without the parser.

What stands here is a small part of HTTP that leaves nothing to judge. All else, above all what might be refused, is not
read here but parsed (edge/parsing.py), and whatever is read here the parser reads the same way
(tests/property/test_heads.py).
"""

import re
from typing import Final

from adtally.edge.cache import FifoCache
from adtally.edge.clicks import Request
from adtally.edge.clients import Client
from adtally.edge.heads import HEADERS_MAX, SPELLED
from adtally.edge.query import USUAL_QUERY

LINE_CACHE_ENTRIES: Final = 4_096
LINE_BYTES_MAX: Final = 512
"""Longer header lines are read anew each time."""

_match_first_line: Final = re.compile(rf"GET /click\?{USUAL_QUERY} HTTP/1\.1").fullmatch
_BODY: Final = (b"content-length", b"transfer-encoding")
_PRIVATE: Final = (b"cookie", b"referer", b"x-forwarded-for")
"""Each person sends their own: these would push what many share out of the cache."""
_CONNECTION: Final = (b"keep-alive", b"Keep-Alive", b"close")

_UNUSUAL: Final = b""

Line = tuple[bytes | None, bytes]
"""A header line: the name under which its value is kept, None where nobody asks for it; and the value."""


class PlainHeads:
    """Reads plain heads. Remembers header lines, most of which are the same for many people."""

    def __init__(self) -> None:
        self._known: FifoCache[bytes, Line] = FifoCache(LINE_CACHE_ENTRIES)

    def read(self, data: bytes, peer: Client) -> Request | None:
        """Give the request of one whole head and nothing more, None for whatever is the parser's matter."""
        lines = data.split(b"\r\n")
        usual = _match_first_line(lines[0].decode("latin-1"))
        if usual is None or lines.pop() or lines.pop() or len(lines) > HEADERS_MAX:
            return None
        del lines[0]
        known = self._known.get
        found: dict[bytes, bytes] = {}
        for line in lines:
            read = known(line) or self._learn(line)
            if read is None:
                return None
            name, value = read
            if name is not None:
                if name in found:
                    return None
                found[name] = value
        if b"host" not in found:
            return None
        return Request(b"GET", b"/click", b"", found, peer, False, usual.groups())  # type: ignore[arg-type]  # by the pattern

    def _learn(self, line: bytes) -> Line | None:
        spelled, _, value = line.partition(b": ")
        name = SPELLED.get(spelled, _UNUSUAL)
        if name is _UNUSUAL or name in _BODY or (name == b"connection" and value not in _CONNECTION):
            return None
        # Printable ASCII, without spaces at its ends.
        if not value or value.strip() != value or not value.isascii() or not value.decode("ascii").isprintable():
            return None
        read = name, value
        if name in _PRIVATE or len(line) > LINE_BYTES_MAX:
            return read
        return self._known.remember(line, read)
