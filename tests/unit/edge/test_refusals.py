"""Design section 8, first two paragraphs, over raw sockets."""

from collections.abc import Iterator

import pytest

from unit.edge.running import RunningEdge

HOST = b"Host: edge.example\r\n"
CLICK = b"GET /click?ad_id=ad_1&user_id=u HTTP/1.1\r\n"


@pytest.fixture(scope="module")
def edge() -> Iterator[RunningEdge]:
    with RunningEdge() as running:
        yield running


def assert_alive_and_empty(edge: RunningEdge, events_before: int) -> None:
    assert len(edge.writer.events()) == events_before
    assert edge.get("/click?ad_id=ad_1&user_id=alive").status == 302


REFUSED_AND_CLOSED = {
    "both Content-Length and Transfer-Encoding": (
        400,
        CLICK + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    ),
    "bare line feeds": (400, b"GET /click?ad_id=ad_1 HTTP/1.1\nHost: x\n\n"),
    "a bare carriage return": (400, CLICK + b"Host: x\rX: y\r\n\r\n"),
    "a folded header": (400, CLICK + HOST + b"X-A: b\r\n c\r\n\r\n"),
    "a control character in a header": (400, CLICK + HOST + b"X-A: \x00\r\n\r\n"),
    "a control character in the URL": (400, b"GET /click?ad_id=\x01 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a body on GET": (400, CLICK + HOST + b"Content-Length: 5\r\n\r\nhello"),
    "a chunked body on GET": (400, CLICK + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "101 headers": (431, CLICK + HOST + b"".join(b"X-%d: y\r\n" % n for n in range(100)) + b"\r\n"),
    "150 headers": (431, CLICK + HOST + b"".join(b"X-%d: y\r\n" % n for n in range(150)) + b"\r\n"),
    "one header of 20 KB": (431, CLICK + HOST + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n"),
    "headers of 20 KB": (431, CLICK + HOST + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 400) for n in range(50)) + b"\r\n"),
    "a header that never ends": (431, CLICK + HOST + b"X-A: " + b"a" * 9_000),
    "a header name that never ends": (431, CLICK + HOST + b"a" * 9_000),
    "a URL of 200 KB": (414, b"GET /click?ad_id=ad_1&x=" + b"a" * 200_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a URL that never ends": (414, b"GET /" + b"a" * 9_000),
    "no Host": (400, CLICK + b"\r\n"),
    "two Hosts": (400, CLICK + HOST + HOST + b"\r\n"),
    "HTTP/0.9": (400, b"GET /click?ad_id=ad_1\r\n\r\n"),
    "HTTP/0.9 by name": (400, b"GET /click?ad_id=ad_1 HTTP/0.9\r\nConnection: keep-alive\r\n\r\n"),
    "HTTP/2.0 by name": (400, b"GET /click?ad_id=ad_1 HTTP/2.0\r\nConnection: keep-alive\r\n" + HOST + b"\r\n"),
    "HTTP/2's preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a method that does not exist": (400, b"CLICK /click?ad_id=ad_1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "the absolute form": (400, b"GET http://edge.example/click?ad_id=ad_1 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "the authority form": (400, b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "the asterisk form": (400, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a fragment": (400, b"GET /click?ad_id=ad_1#top HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a POST with a body": (405, b"POST /click?ad_id=ad_1 HTTP/1.1\r\nContent-Length: 5\r\n" + HOST + b"\r\nhello"),
    "a POST with a body to nowhere": (404, b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n" + HOST + b"\r\nhello"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "a response": (400, b"HTTP/1.1 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("name", REFUSED_AND_CLOSED)
def test_a_malformed_request_is_refused_and_its_connection_closed(edge: RunningEdge, name: str) -> None:
    status, request = REFUSED_AND_CLOSED[name]
    before = len(edge.writer.events())

    with edge.client() as client:
        client.send(request)
        answer = client.answer()
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert answer.headers["content-type"].startswith("text/plain")
        assert 0 < len(answer.body) < 200
        assert client.ended()

    assert_alive_and_empty(edge, before)


@pytest.mark.parametrize("name", ["101 headers", "a header that never ends", "two Hosts", "a body on GET", "no Host"])
def test_a_malformed_request_is_refused_byte_by_byte_too(edge: RunningEdge, name: str) -> None:
    status, request = REFUSED_AND_CLOSED[name]

    with edge.client() as client:
        for start in range(0, len(request), 7):
            client.send(request[start : start + 7])
        assert client.answer().status == status


def test_requests_just_within_the_limits_are_answered(edge: RunningEdge) -> None:
    line = b"GET /click?ad_id=ad_1&user_id=u&x=%b HTTP/1.1\r\n"
    longest_line = line % (b"a" * (8_192 - len(line % b"")))
    assert len(longest_line) == 8_192
    room = 8_192 - len(b"Hostedge.example") - 4 - len(b"X-A") - 4
    headers_100 = b"".join(b"X-%d: y\r\n" % n for n in range(99))

    with edge.client() as client:
        client.send(longest_line + HOST + b"\r\n")
        assert client.answer().status == 302
        client.send(CLICK + HOST + b"X-A: " + b"a" * room + b"\r\n\r\n")
        assert client.answer().status == 302
        client.send(CLICK + HOST + headers_100 + b"\r\n")
        assert client.answer().status == 302
        client.send(CLICK + HOST + b"X-A: " + b"a" * (room + 1) + b"\r\n\r\n")
        assert client.answer().status == 431


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "ad_id: is missing"),
        ("user_id=u", "ad_id: is missing"),
        ("ad_id", "ad_id: is empty"),
        ("ad_id=", "ad_id: is empty"),
        ("ad_id=ad_1&ad_id=ad_1", "ad_id: is given more than once"),
        ("ad_id=ad_1&ad%5Fid=ad_2", "ad_id: is given more than once"),
        ("ad_id=ad_1&user_id=a&user_id=a", "user_id: is given more than once"),
        ("ad_id=ad_1&impression_id=a&impression_id=b", "impression_id: is given more than once"),
        ("ad_id=ad_1&user_id=", "user_id: is empty"),
        ("ad_id=ad_1&impression_id=", "impression_id: is empty"),
        ("ad_id=" + "a" * 129, "ad_id: has 129 bytes"),
        ("ad_id=ad_1&user_id=" + "%C3%BC" * 65, "user_id: has 130 bytes"),
        ("ad_id=%zz", "ad_id: has a %"),
        ("ad_id=ad_1&user_id=%4", "user_id: has a %"),
        ("ad_id=ad_1&user_id=100%", "user_id: has a %"),
        ("ad_id=ad_1&user_id=%FF", "user_id: is not valid UTF-8"),
        ("ad_id=ad_1&user_id=%C0%80", "user_id: is not valid UTF-8"),
        ("ad_id=ad_1&user_id=%ED%A0%80", "user_id: is not valid UTF-8"),
        ("ad_id=ad_1&user_id=a%00b", "user_id: has a control character"),
        ("ad_id=ad_1&user_id=a%0D%0ASet-Cookie:x", "user_id: has a control character"),
        ("ad_id=ad_1&user_id=%C2%85", "user_id: has a control character"),
    ],
)
def test_a_wrong_parameter_is_a_400_with_a_reason_on_a_connection_that_stays(
    edge: RunningEdge, query: str, words: str
) -> None:
    before = len(edge.writer.events())

    with edge.client() as client:
        answer = client.get(f"/click?{query}")
        assert answer.status == 400
        assert answer.body.decode().startswith(words)
        assert client.get("/-/healthz").status == 200

    assert_alive_and_empty(edge, before)


@pytest.mark.parametrize("ad_id", ["unknown", "ad_archived"])
def test_an_unknown_or_archived_ad_is_a_404_and_no_event(edge: RunningEdge, ad_id: str) -> None:
    before = len(edge.writer.events())

    assert edge.get(f"/click?ad_id={ad_id}&user_id=u").status == 404
    assert edge.get(f"/click?ad_id={ad_id}&user_id=u", method="HEAD").status == 404

    assert_alive_and_empty(edge, before)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE", "TRACE"])
def test_another_method_is_405_with_allow_on_a_known_path_and_404_elsewhere(edge: RunningEdge, method: str) -> None:
    with edge.client() as client:
        for path in ("/click?ad_id=ad_1", "/-/healthz", "/-/readyz", "/-/metrics"):
            answer = client.get(path, method=method)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert client.get("/other", method=method).status == 404


@pytest.mark.parametrize("path", ["/", "/clicks", "/click/", "//click", "/Click", "/%63lick", "/-/", "/-/healthz/"])
def test_another_path_is_404(edge: RunningEdge, path: str) -> None:
    assert edge.get(f"{path}?ad_id=ad_1").status == 404


def test_an_error_never_repeats_what_was_sent(edge: RunningEdge) -> None:
    for target in ("/<script>", "/click?ad_id=<script>", "/click?ad_id=ad_1&user_id=<script>%zz", "/click?<script>=1"):
        assert b"script" not in edge.get(target).body


def test_a_plain_upgrade_header_is_ignored_and_the_next_request_is_read(edge: RunningEdge) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    with edge.client() as client:
        client.send(CLICK + HOST + upgrade + CLICK + HOST + upgrade + CLICK + HOST + b"\r\n")
        assert [client.answer().status for _ in range(3)] == [302, 302, 302]
        assert client.get("/-/healthz").status == 200


def test_empty_lines_before_a_request_are_skipped(edge: RunningEdge) -> None:
    with edge.client() as client:
        client.send(b"\r\n\r\n" + CLICK + HOST + b"\r\n")
        assert client.answer().status == 302
