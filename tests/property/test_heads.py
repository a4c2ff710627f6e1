"""Heads that are read without the parser: whatever comes in whatever pieces, both ways say and do the same."""

from itertools import pairwise
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from adtally.edge.clicks import Request
from adtally.edge.clients import Client, Clients
from adtally.edge.deadlines import Deadlines
from adtally.edge.exchange import Reply
from adtally.edge.heads import HEADERS_MAX, SPELLED
from adtally.edge.plain import PlainHeads
from adtally.edge.protocol import Connection
from adtally.edge.query import usual_values
from adtally.edge.responses import Refusal

PEER = Clients(()).peer("127.0.0.1")
PLAIN = PlainHeads()
"""One for all examples, so that lines of one are known in others."""

BROWSER = (
    b"GET /click?ad_id=ad_1&user_id=u.1&impression_id=i-1 HTTP/1.1\r\nHost: clicks.example\r\n"
    b"Connection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="131", "Not_A Brand";v="24"\r\nsec-ch-ua-mobile: ?0\r\nUpgrade-Insecure-Requests: 1\r\n'
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,*/*;q=0.8\r\nReferer: https://news.example/\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\nCookie: adt_uid=0123456789abcdef0123456789abcdef\r\n\r\n"
)
CURL = b"GET /click?ad_id=ad_1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"


class Told:
    """A site and a transport that write down what they are told."""

    head_timeout_s = idle_timeout_s = 60.0
    now_s = 1.0

    def __init__(self, *, plain: bool) -> None:
        self.said: list[Any] = []
        self.plain = 0
        self.deadlines: Deadlines[Connection] = Deadlines(1.0)
        self._reads_plain = plain
        self.connection = Connection(self)
        self.connection.connection_made(self)  # type: ignore[arg-type]

    def read_plain(self, data: bytes, peer: Client) -> Request | None:
        return PLAIN.read(data, peer) if self._reads_plain else None

    def connected(self, connection: Connection, host: str) -> Client | None:
        return PEER

    def disconnected(self, connection: Connection) -> None:
        pass

    def handle(self, request: Request, reply: Reply, *, old: bool) -> None:
        if request.method == b"POST" and request.body:
            raise Refusal(405, "no")
        values = request.usual or usual_values(request.query)
        query = request.query if values is None else values
        self.said.append((request.method, request.path, query, request.headers, request.body, reply.close, old))
        reply.data, reply.ready = b"answer %d" % len(self.said), True

    def click(self, request: Request, reply: Reply) -> None:
        self.plain += 1
        self.handle(request, reply, old=False)

    def refuse(self, refusal: Refusal, reply: Reply) -> None:
        reply.data, reply.ready = b"%d" % refusal.status, True

    def defect(self, error: BaseException) -> Refusal:
        raise error

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return "127.0.0.1", 1

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def is_closing(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return lambda: self.said.append(name)


MATTER = (b"Host", b"Connection", b"Content-Length", b"Transfer-Encoding", b"Cookie", b"User-Agent", b"accept")
NAMES = st.sampled_from(MATTER) | st.sampled_from([*SPELLED, b"CONNECTION", b"Upgrade", b"X-Other", b"a_b", b""])
VALUES = st.one_of(
    st.sampled_from([b"close", b"keep-alive", b"a, close", b"0", b"5", b"a", b"", b" a", b"a "]),
    st.sampled_from([b"Close", b"Keep-Alive", b"chunked", b"\t", b"a\x01", b"a\xff", b"a\r", b"a\n", b"a\tb"]),
    st.binary(max_size=4),
)
LINES = st.tuples(NAMES, st.sampled_from([b": "] * 9 + [b":", b" : ", b":\t"]), VALUES).map(b"".join)
FIRST = st.builds(
    b"%b %b %b".__mod__,
    st.tuples(
        st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"POST", b"get", b"CONNECT"]),
        st.sampled_from(
            [b"/click?ad_id=a", b"/click?ad_id=a&user_id=u", b"/click?ad_id=a&user_id=%20", b"/click", b"/", b"*"]
        ),
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b""]),
    ),
)


def head(first: bytes, lines: list[bytes], end: bytes) -> bytes:
    return b"".join(line + end for line in (first, *lines)) + b"\r\n"


NEARLY_PLAIN = st.builds(
    head,
    st.sampled_from([b"GET /click?ad_id=a HTTP/1.1"] * 5 + [b"GET /click?ad_id=a HTTP/1.0"]),
    st.tuples(st.sampled_from([[b"Host: a"]] * 5 + [[]]), st.lists(LINES, min_size=1, max_size=2)).map(
        lambda parts: parts[0] + parts[1]
    ),
    st.just(b"\r\n"),
)
ANYTHING = st.builds(head, FIRST, st.lists(LINES, max_size=5), st.sampled_from([b"\r\n", b"\n", b"\r\n "]))
HEADS = st.one_of(st.sampled_from([BROWSER, CURL]), NEARLY_PLAIN, NEARLY_PLAIN, ANYTHING)
MUTATIONS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), st.binary(max_size=2)), max_size=2)


def mutated(data: bytes, mutations: list[tuple[int, int, bytes]]) -> bytes:
    for place, removed, added in mutations:
        data = data[:place] + added + data[place + removed :]
    return data


@given(
    st.lists(st.builds(mutated, HEADS, MUTATIONS | st.just([])), min_size=1, max_size=4),
    st.lists(st.integers(1, 900), max_size=3),
)
@example([BROWSER, CURL, BROWSER], [])
@example([CURL[:-2], b"\r\n", CURL], [])
@example([b"\r\n", CURL, b"\n", CURL], [])
@settings(max_examples=1_500)
def test_a_connection_says_the_same_with_and_without_the_short_way(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    chunks = pieces
    if cuts:
        places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
        chunks = [data[begin:end] for begin, end in pairwise(places)]
    short, long = Told(plain=True), Told(plain=False)
    for chunk in chunks:
        if chunk:
            short.connection.data_received(chunk)
            long.connection.data_received(chunk)
    assert short.said == long.said
    assert short.connection.deaf == long.connection.deaf
    unfinished = [told.connection.parser is not None and told.connection.parser.unfinished for told in (short, long)]
    assert unfinished[0] == unfinished[1]


def test_what_browsers_send_is_read_the_short_way() -> None:
    told = Told(plain=True)
    for head in (BROWSER, CURL, BROWSER.replace(b"Connection: keep-alive\r\n", b""), CURL):
        told.connection.data_received(head)
    assert (told.plain, told.connection.parser) == (4, None)


def test_what_is_refused_or_must_be_looked_at_is_never_read_the_short_way() -> None:
    for line in (
        b"Host: b",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        b"Upgrade: h2c",
        b"Connection: upgrade",
    ):
        assert PLAIN.read(CURL.replace(b"Accept: */*", line), PEER) is None
    for data in (
        CURL.replace(b"Host", b"Accept"),
        CURL.replace(b"1.1\r", b"1.0\r"),
        CURL.replace(b"GET", b"HEAD"),
        CURL.replace(b"Accept", b"Accept "),
        CURL.replace(b"*/*", b" */*"),
        CURL.replace(b"*/*", b"*/* "),
        CURL.replace(b"*/*", b"\x01"),
        CURL.replace(b"*/*", b"*\n"),
        CURL.replace(b"*/*", b"*\r\n x"),
        CURL.replace(b"ad_1", b"ad_%31"),
        CURL.replace(b"ad_1", b"a" * 129),
        CURL.replace(b"Accept: */*\r\n", b"DNT: 1\r\n" * HEADERS_MAX),
        CURL[:-2],
        CURL + CURL,
        b"\r\n" + CURL,
    ):
        assert PLAIN.read(data, PEER) is None, data
