"""The load against a real server on a loopback port, which answers, stalls, breaks and lies as each test says."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from adtally.clock import SYSTEM_CLOCK
from adtally.traffic.load import Load, LoadReport, LoadSettings
from adtally.traffic.plan import Plan, PlanSettings, numbered_ads
from adtally.traffic.truth import TruthFile, TruthLine, TruthWriter

Answer = Callable[[int, bytes, asyncio.StreamWriter], Awaitable[None]]
"""Given the request's number on this server and its head, answers it."""

FOUND = (
    b"HTTP/1.1 302 Found\r\nLocation: https://example.com/\r\nContent-Length: 0\r\nX-Click-Event: e1.%d.1000\r\n\r\n"
)


async def found(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(FOUND % number)


class Server:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                await self.answer(len(self.requests), head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


def run(
    answer: Answer,
    tmp_path: Path,
    rate: float = 400,
    seconds: float = 0.3,
    connections: int = 4,
    answer_timeout_s: float = 60.0,
    head_share: float = 0.005,
) -> tuple[LoadReport, list[TruthLine], Server]:
    server = Server(answer)
    path = tmp_path / "truth.ndjson"

    async def main() -> LoadReport:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        plan = Plan(PlanSettings(seed=11, rate=rate, head_share=head_share), numbered_ads(20), f"127.0.0.1:{port}")
        settings = LoadSettings("127.0.0.1", port, rate, seconds, connections, answer_timeout_s)
        with TruthWriter(path, SYSTEM_CLOCK) as truth:
            report = await Load(plan, settings, SYSTEM_CLOCK, truth).run()
        listening.close()
        for writer in server.open:
            writer.transport.abort()
        return report

    report = uvloop.run(main())
    return report, list(TruthFile(path)), server


def test_every_attempt_is_sent_answered_and_written_down(tmp_path: Path) -> None:
    report, truth, server = run(found, tmp_path)
    assert report.sent == report.answered == report.recorded == 120
    assert report.statuses == {"302": 120}
    assert len(truth) == len(server.requests) == 120
    assert {line.event for line in truth} == {f"e1.{number}.1000" for number in range(1, 121)}
    assert all(line.recorded and line.intended_ms <= line.sent_ms + 1 <= line.ended_ms + 2 for line in truth)


def test_a_stall_shows_in_the_latency_of_the_requests_that_waited_for_it(tmp_path: Path) -> None:
    async def stalling(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        if number == 20:
            await asyncio.sleep(0.4)
        await found(number, head, writer)

    report, _, _ = run(stalling, tmp_path, connections=1, rate=2_000)
    # One answer holds up nearly all of 600 requests, most of which could not even be sent meanwhile.
    assert report.latency.p50_ms > 150
    assert report.latency.max_ms >= 400


def test_the_load_does_not_slow_down_with_the_system(tmp_path: Path) -> None:
    seen: list[int] = []

    async def silent(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(number)

    report, truth, _ = run(silent, tmp_path, answer_timeout_s=1.0, connections=64)
    # Whatever was given up was tried again.
    assert report.sent >= 120
    assert 0 < len(seen) <= report.sent
    assert report.answered == 0
    assert report.unknown == report.sent == len(truth)
    assert all(line.status is None and not line.recorded for line in truth)


def test_a_broken_connection_makes_its_attempts_unknown_and_tries_them_again_once(tmp_path: Path) -> None:
    async def breaking(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        if number % 10 == 0:
            writer.transport.abort()
        else:
            await found(number, head, writer)

    report, truth, server = run(breaking, tmp_path)
    lost = [line for line in truth if line.status is None]
    assert lost
    assert report.unknown == len(lost)
    assert report.sent == len(truth) == report.answered + report.unknown
    assert len(server.requests) <= report.sent
    tried = {(line.ad_id, line.user_id, line.impression_id) for line in truth if line.kind == "retry"}
    personal = [line for line in lost if line.kind in {"click", "double"}]
    assert {(line.ad_id, line.user_id, line.impression_id) for line in personal} <= tried
    assert report.retries == len(personal)


def test_an_answer_that_says_close_ends_the_connection_and_the_load_opens_another(tmp_path: Path) -> None:
    async def closing(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write((FOUND % number).replace(b"Content-Length", b"Connection: close\r\nContent-Length"))
        writer.close()

    report, truth, _ = run(closing, tmp_path, rate=100)
    assert report.answered + report.unknown == report.sent == len(truth)
    assert report.answered > 4


def test_answers_that_arrive_byte_by_byte_or_with_bodies_are_paired_with_their_requests(tmp_path: Path) -> None:
    async def dripping(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        body = b"no such\r\n\r\nad"
        answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body)
        if not head.startswith(b"HEAD"):
            answer += body
        for at in range(len(answer)):
            writer.write(answer[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)

    report, truth, _ = run(dripping, tmp_path, rate=200, head_share=0.3)
    assert report.refused == report.answered == report.sent
    assert {(line.status, line.recorded) for line in truth} == {(404, False)}


def test_a_redirect_that_was_not_recorded_is_told_apart(tmp_path: Path) -> None:
    async def unrecorded(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nx-click-recorded: false\r\ncontent-length: 0\r\n\r\n")

    report, truth, _ = run(unrecorded, tmp_path, rate=100)
    assert report.unrecorded == report.answered == report.sent
    assert not any(line.recorded or line.event for line in truth)


def test_what_is_no_http_is_an_unknown_outcome(tmp_path: Path) -> None:
    async def babbling(number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    report, truth, _ = run(babbling, tmp_path, rate=50)
    assert report.answered == 0
    assert report.unknown == report.sent == len(truth)


def test_nothing_is_written_down_for_attempts_that_could_not_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"

    async def main() -> LoadReport:
        plan = Plan(PlanSettings(), numbered_ads(2), "h")
        # Held, and not listening: nobody else comes to listen there.
        with socket.socket() as held, TruthWriter(path, SYSTEM_CLOCK) as truth:
            held.bind(("127.0.0.1", 0))
            settings = LoadSettings("127.0.0.1", held.getsockname()[1], 100, 0.1, 2, 0.1)
            return await Load(plan, settings, SYSTEM_CLOCK, truth).run()

    report = uvloop.run(main())
    assert (report.sent, report.unsent) == (0, 10)
    assert list(TruthFile(path)) == []


def test_stop_ends_a_load_without_an_end_of_its_own(tmp_path: Path) -> None:
    server = Server(found)

    async def main() -> LoadReport:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        load = Load(Plan(PlanSettings(), numbered_ads(2), "h"), LoadSettings("127.0.0.1", port, 200), SYSTEM_CLOCK)
        report = await load.run(lambda report: load.stop() if report.answered > 20 else None)
        listening.close()
        return report

    report = uvloop.run(main())
    assert report.answered == report.sent > 20
