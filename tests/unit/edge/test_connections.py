"""Keep-alive, pipelining, limits of time, and the end of a worker."""

import pytest

from adtally.config import EdgeConfig
from adtally.edge.protocol import OUTSTANDING_MAX
from adtally.event import Closing
from unit.edge.running import DEADLINE_S, PATIENT_MS, ManualClock, RawClient, RunningEdge, wait_until

HOST = b"Host: edge.example\r\n"
CLICK = b"GET /click?ad_id=ad_1&user_id=u HTTP/1.1\r\n" + HOST + b"\r\n"
MISSING = b"GET /click?ad_id=missing HTTP/1.1\r\n" + HOST + b"\r\n"


def seq_of(client: RawClient) -> int:
    return int(client.answer().headers["x-click-event"].split(".")[1])


def test_pipelined_requests_are_answered_in_their_order() -> None:
    with RunningEdge() as edge, edge.client() as client:
        client.send((CLICK + MISSING + CLICK) * 10)

        answers = [client.answer() for _ in range(30)]

    assert [answer.status for answer in answers] == [302, 404, 302] * 10
    seqs = [int(answer.headers["x-click-event"].split(".")[1]) for answer in answers if answer.status == 302]
    assert seqs == list(range(1, 21))


def test_an_answer_that_is_ready_waits_for_the_click_before_it() -> None:
    with RunningEdge() as edge, edge.client() as client:
        edge.writer.flowing.clear()
        client.send(MISSING + MISSING + CLICK + MISSING)
        assert [client.answer().status for _ in range(2)] == [404, 404]
        wait_until(lambda: edge.metric('refused_total{reason="unknown_ad"}') == 3)
        assert client.buffer == b""
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.socket.recv(1)
        client.socket.settimeout(DEADLINE_S)

        edge.writer.flowing.set()

        assert [client.answer().status for _ in range(2)] == [302, 404]


def test_many_pipelined_requests_are_all_answered_with_few_outstanding() -> None:
    with RunningEdge(EdgeConfig(heartbeat_ms=20, event_header=True, append_timeout_ms=PATIENT_MS)) as edge:
        edge.writer.flowing.clear()
        wait_until(lambda: edge.writer.calls > 0)
        with edge.client() as client:
            client.socket.setblocking(False)
            whole = CLICK * 2_000
            sent = client.socket.send(whole)
            client.socket.settimeout(DEADLINE_S)
            one_slice_more = 2_048 // len(CLICK) + 1
            wait_until(lambda: edge.metric("pending_events") >= OUTSTANDING_MAX)
            assert edge.get("/-/healthz").status == 200
            assert edge.metric("pending_events") <= OUTSTANDING_MAX + one_slice_more

            edge.writer.flowing.set()
            while sent < len(whole):
                sent += client.socket.send(whole[sent : sent + 10_000])
            assert [seq_of(client) for _ in range(2_000)] == list(range(1, 2_001))


def test_a_request_may_come_byte_by_byte() -> None:
    with RunningEdge(EdgeConfig(heartbeat_ms=20, head_timeout_s=60)) as edge, edge.client() as client:
        for _ in range(2):
            for index in range(len(CLICK)):
                client.send(CLICK[index : index + 1])
            assert client.answer().status == 302


def test_http_1_0_closes_unless_it_asks_to_keep_alive() -> None:
    line = b"GET /click?ad_id=ad_1&user_id=u HTTP/1.0\r\n"
    with RunningEdge() as edge:
        with edge.client() as client:
            client.send(line + b"\r\n")
            answer = client.answer()
            assert (answer.status, answer.headers["connection"]) == (302, "close")
            assert client.ended()
        with edge.client() as client:
            for _ in range(2):
                client.send(line + b"Connection: keep-alive\r\n\r\n")
                answer = client.answer()
                assert (answer.status, answer.headers["connection"]) == (302, "keep-alive")


def test_connection_close_is_obeyed_and_what_follows_is_not_read() -> None:
    with RunningEdge() as edge, edge.client() as client:
        client.send(CLICK[:-2] + b"Connection: close\r\n\r\n" + CLICK)
        assert client.answer().headers["connection"] == "close"
        assert client.ended()
        assert len(edge.writer.events()) == 1


def test_a_client_that_ends_its_side_still_gets_its_answers() -> None:
    with RunningEdge() as edge, edge.client() as client:
        client.send(CLICK * 3)
        client.socket.shutdown(1)
        assert [client.answer().status for _ in range(3)] == [302] * 3
        assert client.ended()


def test_a_click_whose_client_went_away_is_kept() -> None:
    with RunningEdge() as edge:
        edge.writer.flowing.clear()
        with edge.client() as client:
            client.send(CLICK)
            wait_until(lambda: edge.metric("pending_events") == 1)
        edge.writer.flowing.set()
        wait_until(lambda: len(edge.writer.events()) == 1)
        assert edge.get("/-/healthz").status == 200


def test_a_head_that_drips_is_a_408_counted_from_its_first_byte() -> None:
    with RunningEdge(clock=ManualClock()) as edge, edge.client() as client:
        client.send(CLICK[:10])
        for index in range(10, 14):
            assert edge.get("/-/healthz").status == 200
            edge.advance(1.2)
            client.send(CLICK[index : index + 1])
        edge.advance(1)

        answer = client.answer()

        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert client.ended()
        assert edge.get("/click?ad_id=ad_1&user_id=u").status == 302


def test_an_idle_connection_is_closed_after_its_time_and_not_before() -> None:
    with RunningEdge(clock=ManualClock()) as edge, edge.client() as busy, edge.client() as silent:
        assert busy.get("/-/healthz").status == 200
        edge.advance(70)
        assert busy.get("/-/healthz").status == 200
        edge.advance(10)
        assert silent.ended()
        assert busy.get("/-/healthz").status == 200
        edge.advance(80)
        assert busy.ended()


def test_a_client_that_never_reads_is_not_read_from_and_then_dropped() -> None:
    with RunningEdge(clock=ManualClock()) as edge, edge.client() as client:
        client.socket.setblocking(False)
        block = MISSING * 1_000
        stuck = 0
        while stuck < 20:
            try:
                client.socket.send(block)
                stuck = 0
            except BlockingIOError:
                stuck += 1
                assert edge.get("/-/healthz").status == 200
        wait_until(lambda: edge.metric("connections") == 2)
        edge.advance(76)
        wait_until(lambda: edge.metric("connections") == 1)


def test_a_stop_answers_what_is_in_flight_and_closes_the_log() -> None:
    with RunningEdge() as edge, edge.client() as client, edge.client() as idle:
        assert idle.get("/-/healthz").status == 200
        edge.writer.flowing.clear()
        client.send(CLICK * 2)
        wait_until(lambda: edge.metric("pending_events") == 2)

        edge.begin_stop()
        assert idle.ended()
        edge.writer.flowing.set()

        assert [client.answer().status for _ in range(2)] == [302, 302]
        assert client.ended()
        edge.stop()
        assert edge.writer.kept() == [("e" * 16, 1), ("e" * 16, 2)]
        closing = edge.closing()
        assert closing == Closing("e" * 16, 2, closing.ts_ms, retired=True)


def test_a_stop_does_not_wait_for_ever_for_a_stalled_log() -> None:
    with RunningEdge(EdgeConfig(heartbeat_ms=20, append_timeout_ms=50)) as edge, edge.client() as client:
        edge.writer.flowing.clear()
        client.send(CLICK)
        answer = client.answer()
        assert (answer.status, answer.recorded) == (302, False)
        edge.stop()
        assert not any(isinstance(record, Closing) for record in edge.writer.controls())
