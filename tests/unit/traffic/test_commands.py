"""`adtally load` and `adtally verify` against a small server that answers clicks and counts them."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from adtally.cli.load import command as load
from adtally.cli.verify import command as verify
from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS, click_key, minute_of
from adtally.errors import UsageError
from adtally.serve.values import parse_instant, rfc3339


class SmallAdtally(ThreadingHTTPServer):
    """Keeps every GET of a person in memory and counts it by click id; good for runs of less than a window."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.guard = threading.Lock()
        self.seen: set[str] = set()
        self.cells: Counter[tuple[str, int]] = Counter()
        self.received = self.duplicates = self.invalid = 0
        self.forgets = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def click(self, query: dict[str, list[str]], machine: bool) -> str:
        with self.guard:
            self.received += 1
            ts_ms = SYSTEM_CLOCK.now_ms()
            ad_id = query["ad_id"][0]
            key = click_key(ad_id, query["user_id"][0], query.get("impression_id", [None])[0], ts_ms)
            if machine:
                self.invalid += 1
            elif key in self.seen:
                self.duplicates += 1
            else:
                self.seen.add(key)
                self.cells[ad_id, minute_of(ts_ms)] += 1
            return f"e1.{self.received}.{ts_ms}"


class Handler(BaseHTTPRequestHandler):
    server: SmallAdtally
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        if address.path == "/click":
            agent = self.headers["User-Agent"].lower()
            machine = self.command == "HEAD" or "Sec-Purpose" in self.headers
            machine = machine or any(word in agent for word in ("bot", "external"))
            event = self.server.click(query, machine)
            self.answer(302, b"", {"Location": "https://example.com/", "X-Click-Event": event})
        else:
            self.answer(200, json.dumps(self.numbers(address.path, query)).encode(), {})

    def numbers(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        server = self.server
        if path == "/v1/ads":
            return {"ads": [{"ad_id": f"ad_{n}", "status": "active"} for n in range(5)], "next": None}
        counted = sum(server.cells.values())
        if path == "/v1/quality":
            invalid = {"bot": server.invalid}
            parts = {"counted": counted, "duplicate": server.duplicates, "invalid": invalid}
            return {"received": server.received, **parts}
        if path == "/v1/status":
            return {"as_of": rfc3339(SYSTEM_CLOCK.now_ms() + MINUTE_MS)}
        start_ms, end_ms = parse_instant(query["start"][0]), parse_instant(query["end"][0])
        series = [
            {"timestamp": rfc3339(minute), "ad_id": ad_id, "clicks": clicks, "unique_users": clicks}
            for (ad_id, minute), clicks in sorted(server.cells.items())
            if start_ms <= minute < end_ms
        ]
        if server.forgets and series:
            series[0]["clicks"] -= 1  # type: ignore[operator]
        return {"as_of": rfc3339(SYSTEM_CLOCK.now_ms() + MINUTE_MS), "series": series}

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def server() -> Iterator[SmallAdtally]:
    with SmallAdtally() as small:
        thread = threading.Thread(target=small.serve_forever)
        thread.start()
        yield small
        small.shutdown()
        thread.join()


def sent(server: SmallAdtally, truth: Path, *options: str) -> Result:
    arguments = ["--url", server.url, "--url-click", server.url, "--rate", "300", "--seconds", "0.5"]
    arguments += ["--truth", str(truth), "--connections", "4", *options]
    return CliRunner().invoke(load, arguments, catch_exceptions=False)


def test_what_load_sent_verify_finds(server: SmallAdtally, tmp_path: Path) -> None:
    loaded = sent(server, tmp_path / "truth")
    assert loaded.exit_code == 0
    assert "answered    150 (302: 150)" in loaded.stdout
    verified = CliRunner().invoke(verify, ["--url", server.url, "--truth", str(tmp_path / "truth")])
    assert verified.exit_code == 0, verified.stdout
    assert verified.stdout.endswith("agrees\n")


def test_a_click_that_is_missing_makes_verify_exit_with_1_and_name_its_ad(server: SmallAdtally, tmp_path: Path) -> None:
    sent(server, tmp_path / "truth")
    server.forgets = True
    verified = CliRunner().invoke(verify, ["--url", server.url, "--truth", str(tmp_path / "truth")])
    assert verified.exit_code == 1
    assert "clicks of ad_0 at " in verified.stdout
    assert verified.stdout.endswith("DIFFERS\n")
    as_json = CliRunner().invoke(verify, ["--url", server.url, "--truth", str(tmp_path / "truth"), "--json"])
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["lost"] == 1


def test_two_loads_are_verified_together(server: SmallAdtally, tmp_path: Path) -> None:
    sent(server, tmp_path / "one", "--seed", "1")
    sent(server, tmp_path / "two", "--seed", "2", "--json")
    alone = CliRunner().invoke(verify, ["--url", server.url, "--truth", str(tmp_path / "one")])
    both = ["--truth", str(tmp_path / "one"), "--truth", str(tmp_path / "two")]
    together = CliRunner().invoke(verify, ["--url", server.url, *both])
    assert (alone.exit_code, together.exit_code) == (1, 0)


def test_a_truth_without_its_closing_line_is_said_to_be_incomplete(server: SmallAdtally, tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    sent(server, truth)
    truth.write_bytes(b"".join(truth.read_bytes().splitlines(keepends=True)[:-1]))
    verified = CliRunner().invoke(verify, ["--url", server.url, "--truth", str(truth)])
    assert verified.exit_code == 0
    assert "no closing line" in verified.stderr


def test_load_exits_with_1_if_nothing_answers(server: SmallAdtally, tmp_path: Path) -> None:
    # Held, and not listening: nobody else comes to listen there.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        arguments = ["--url-click", url, "--ad-prefix", "ad_", "--rate", "10", "--seconds", "0.1"]
        loaded = CliRunner().invoke(load, [*arguments, "--answer-timeout", "0.1"])
    assert loaded.exit_code == 1
    assert "never sent 1" in loaded.stdout


@pytest.mark.parametrize(
    "address", ["https://127.0.0.1:1", "http://127.0.0.1:1/path", "http://127.0.0.1:99999", "http:///"]
)
def test_an_address_that_cannot_be_is_refused(address: str) -> None:
    arguments = ["--url-click", address, "--ad-prefix", "ad_", "--rate", "10", "--seconds", "0.1"]
    with pytest.raises(UsageError, match="--url-click"):
        CliRunner().invoke(load, arguments, catch_exceptions=False)
