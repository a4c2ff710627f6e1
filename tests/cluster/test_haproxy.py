"""HAProxy before servers that die and freeze: no request fails that another server could have answered."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.local.haproxy import TEMPLATE, HAProxy
from deploy.local.server import Server, free_port

pytestmark = pytest.mark.servers

DEADLINE_S = 120.0
PATIENCE = {"timeout server 2s": "timeout server 5s", "timeout check 1s": "timeout check 10s"}
"""What servers that live may take on a busy machine; all else is as operators have it."""

ANSWERER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{os.getpid()} {self.headers.get('X-Forwarded-For')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.do_GET()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Answerer(Server):
    """A server that tells its process id and whom it believes to be asked by."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()

    @classmethod
    def install(cls) -> None:
        """Do nothing."""

    def command(self) -> list[str]:
        """Give the command."""
        return [sys.executable, "-c", ANSWERER, str(self.port)]

    def ready(self) -> bool:
        """Tell whether it answers."""
        return ask(self.port)[0] == http.client.OK


class PatientHAProxy(HAProxy):
    """HAProxy as operators have it, with more patience."""

    def configuration(self) -> str:
        """Give the operators' configuration with other times."""
        text = super().configuration()
        for usual, longer in PATIENCE.items():
            assert usual in text
            text = text.replace(usual, longer)
        return text


def ask(port: int, path: str = "/click", method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def ask_until(port: int, wanted: set[int]) -> None:
    """Ask until all wanted processes have answered."""
    deadline_s = time.monotonic() + DEADLINE_S
    seen: set[int] = set()
    while not wanted <= seen:
        assert time.monotonic() < deadline_s, f"only {seen} of {wanted} answered"
        status, text = ask(port)
        if status == http.client.OK:
            seen.add(int(text.split()[0]))


@pytest.fixture
def edges(tmp_path: Path) -> Iterator[list[Answerer]]:
    servers = [Answerer(tmp_path / f"edge-{number}") for number in range(2)]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
def front(tmp_path: Path, edges: list[Answerer]) -> Iterator[HAProxy]:
    addresses = {f"edge-{number}": f"127.0.0.1:{edge.port}" for number, edge in enumerate(edges)}
    proxy = PatientHAProxy(tmp_path / "haproxy", {"edges": addresses, "apis": addresses})
    proxy.start()
    yield proxy
    proxy.stop()


def pids(edges: list[Answerer]) -> set[int]:
    return {edge.pid for edge in edges if edge.pid is not None}


def test_a_click_reaches_all_edges_and_tells_its_own_address(front: HAProxy, edges: list[Answerer]) -> None:
    ask_until(front.click_port, pids(edges))
    assert ask(front.click_port)[1].split()[1] == "127.0.0.1"


def test_health_and_metrics_of_the_edges_are_not_shown_outside(front: HAProxy, edges: list[Answerer]) -> None:
    ask_until(front.click_port, pids(edges))
    assert ask(front.click_port, "/-/metrics")[0] == http.client.NOT_FOUND
    assert ask(front.api_port, "/-/metrics")[0] == http.client.NOT_FOUND


def test_no_click_fails_when_an_edge_is_killed(front: HAProxy, edges: list[Answerer]) -> None:
    ask_until(front.click_port, pids(edges))
    answers = []
    for number in range(400):
        if number == 100:
            edges[0].kill()
        if number == 300:
            edges[0].start()
        answers.append(ask(front.click_port)[0])
    assert answers == [http.client.OK] * 400
    ask_until(front.click_port, pids(edges))


def test_no_click_fails_when_an_edge_is_frozen(front: HAProxy, edges: list[Answerer]) -> None:
    ask_until(front.click_port, pids(edges))
    pid = edges[1].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        answers = [ask(front.click_port)[0] for _ in range(100)]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answers == [http.client.OK] * 100


def test_the_configuration_that_operators_are_given_is_valid(front: HAProxy) -> None:
    checked = subprocess.run(
        [front.command()[0], "-c", "-f", str(TEMPLATE)],
        env=dict(front.environment()),
        check=False,
        capture_output=True,
    )
    assert checked.returncode == 0, checked.stderr.decode()
