"""What becomes of those who are too many: they wait in the kernel, are sent on at once, or are left to another edge."""

import asyncio
import select
import threading

from adtally.clock import SYSTEM_CLOCK
from adtally.config import EdgeConfig
from adtally.event import Control
from adtally.traffic.load import Load, LoadReport, LoadSettings
from adtally.traffic.plan import Plan, PlanSettings
from unit.edge.running import PATIENT_MS, MemoryWriter, RawClient, RunningEdge, wait_until

CLICK = b"GET /click?ad_id=ad_1&user_id=u HTTP/1.1\r\nHost: edge.example\r\n\r\n"
SILENT_S = 0.3


def hears_something(client: RawClient) -> bool:
    """Wait a little for an answer, or for the end of the connection."""
    return bool(select.select([client.socket], [], [], SILENT_S)[0])


def let_turns_pass(edge: RunningEdge) -> None:
    """Wait until the edge has seen what was sent, and has done what it does many times a second."""
    beats = edge.beats
    wait_until(lambda: edge.beats > beats + 3)


def test_connections_above_the_limit_wait_in_the_kernel_until_there_is_room() -> None:
    config = EdgeConfig(connections_max=2, heartbeat_ms=20, append_timeout_ms=PATIENT_MS, head_timeout_s=60)
    with RunningEdge(config) as edge, edge.client() as first:
        with edge.client() as second:
            first.send(b"GET")
            second.send(b"GET")
            with edge.client() as third:
                third.send(CLICK)
                assert not hears_something(third)

                second.socket.close()

                assert third.answer().recorded
        first.send(b" /-/healthz HTTP/1.1\r\nHost: edge.example\r\n\r\n")
        assert first.answer().status == 200


def test_a_connection_that_asks_nothing_leaves_its_place_to_one_that_waits() -> None:
    config = EdgeConfig(connections_max=1, heartbeat_ms=20, append_timeout_ms=PATIENT_MS)
    with RunningEdge(config) as edge, edge.client() as idle:
        assert idle.get("/-/healthz").status == 200
        with edge.client() as waiting:
            assert waiting.get("/click?ad_id=ad_1&user_id=u").recorded
        assert idle.ended()


def test_a_crowd_is_not_taken_only_to_be_closed() -> None:
    config = EdgeConfig(connections_max=4, heartbeat_ms=20, append_timeout_ms=PATIENT_MS)
    with RunningEdge(config) as edge:
        clients = [edge.client() for _ in range(300)]
        for client in clients:
            client.send(CLICK)
        answered = 0
        for client in clients:
            try:
                answered += client.answer().recorded
            except (AssertionError, ConnectionResetError):
                # Taken in the same turn of the loop as the last that fits.
                continue
            finally:
                client.socket.close()
        assert answered >= 290


def test_an_edge_that_refuses_takes_no_connection_while_its_log_is_behind() -> None:
    config = EdgeConfig(overload="refuse", heartbeat_ms=20, pending_events_max=4, append_timeout_ms=PATIENT_MS)
    with RunningEdge(config) as edge, edge.client() as known:
        edge.writer.flowing.clear()
        known.send(CLICK * 3)
        let_turns_pass(edge)
        with edge.client() as new:
            new.send(b"GET /-/healthz HTTP/1.1\r\nHost: edge.example\r\n\r\n")
            assert not hears_something(new)

            edge.writer.flowing.set()

            assert new.answer().status == 200
        assert [known.answer().recorded for _ in range(3)] == [True] * 3


def test_an_edge_that_redirects_sends_new_ones_on_while_its_log_is_behind() -> None:
    config = EdgeConfig(heartbeat_ms=20, pending_events_max=2, append_timeout_ms=PATIENT_MS)
    with RunningEdge(config) as edge, edge.client() as known:
        edge.writer.flowing.clear()
        known.send(CLICK * 2)
        let_turns_pass(edge)
        with edge.client() as new:
            assert not new.get("/click?ad_id=ad_1&user_id=u").recorded
        edge.writer.flowing.set()
        assert [known.answer().recorded for _ in range(2)] == [True] * 2


class SlowWriter(MemoryWriter):
    """Takes its time for each append, however much it brings."""

    APPEND_S = 0.05

    def _write(self, record: list[bytes] | Control) -> None:
        threading.Event().wait(self.APPEND_S)
        super()._write(record)


def test_of_three_times_too_much_for_a_log_every_click_is_kept_or_noted_as_lost() -> None:
    """How much is kept hangs on the machine here; it is asserted in test_slow_log.py, with a clock of its own."""
    config = EdgeConfig(batch_events_max=50, event_header=True)
    takes = config.batch_events_max / SlowWriter.APPEND_S
    running = RunningEdge(config)
    running.writer = SlowWriter()
    with running as edge:
        report = asyncio.run(clicks(edge.port, rate=3 * takes, seconds=4.0))
        tried = 1
        while not edge.get("/click?ad_id=ad_1&user_id=after").recorded:
            tried += 1
            assert tried < 10_000, "the log is not asked again"
    kept, lost = edge.writer.kept(), edge.writer.lost()
    print(report)
    could_be = edge.writer.calls * config.batch_events_max
    print(f"{report.recorded} acknowledged of {len(kept)} kept, {could_be} could have been, {len(lost)} lost")
    assert report.recorded + report.unrecorded == report.sent == 12_000
    assert 0 < report.recorded <= len(kept)
    assert not set(kept) & lost
    assert len(set(kept) | lost) == report.sent + tried


async def clicks(port: int, rate: float, seconds: float) -> LoadReport:
    plan = Plan(PlanSettings(rate=rate), ["ad_1"], "edge.example")
    settings = LoadSettings("127.0.0.1", port, rate, seconds, answer_timeout_s=60)
    return await Load(plan, settings, SYSTEM_CLOCK).run()
