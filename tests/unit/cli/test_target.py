"""What a command makes of answers that are none of the API's."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from adtally.cli.target import ApiClient
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import AdtallyError, StoreUnavailableError
from adtally.traffic.fetch import wait_until_complete

STATUS = b'{"as_of": "2026-11-27T12:00:00Z"}'


@contextmanager
def answering(*statuses: int) -> Iterator[str]:
    """Give the address of a server that answers with these, one after the other, and with 200 from then on."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = STATUS if not left else b"no server is available"
            self.send_response(left.pop(0) if left else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_has_no_server_now_is_told_as_what_may_pass(status: int) -> None:
    with answering(status) as url, ApiClient(url, "key") as client:
        with pytest.raises(StoreUnavailableError, match="no server is available"):
            client.get("/v1/status")
        assert client.get("/v1/status")["as_of"]


def test_a_defect_is_told_as_an_error_that_does_not_pass() -> None:
    with answering(500) as url, ApiClient(url, "key") as client:
        with pytest.raises(AdtallyError) as caught:
            client.get("/v1/status")
        assert type(caught.value) is AdtallyError


def test_who_waits_for_numbers_goes_on_when_a_proxy_has_no_server_for_a_while() -> None:
    with answering(503, 502, 503) as url, ApiClient(url, "key") as client:
        assert wait_until_complete(client, 1, 60, SYSTEM_CLOCK, lambda _: None)
