"""What a person and an operator see when the log stalls or fails (design section 7)."""

from adtally.config import EdgeConfig
from adtally.event import Closing, Heartbeat, Lost, Opening
from unit.edge.running import EDGE_ID, PATIENT_MS, ManualClock, RunningEdge, wait_until

CLICK = "/click?ad_id=ad_1&user_id=u"
QUICK = EdgeConfig(heartbeat_ms=20, append_timeout_ms=PATIENT_MS, event_header=True)
IMPATIENT = EdgeConfig(heartbeat_ms=20, append_timeout_ms=300, event_header=True)


def test_a_log_that_fails_still_sends_people_on_and_says_so_and_recovers_by_itself() -> None:
    with RunningEdge(QUICK) as edge:
        assert edge.get(CLICK).recorded
        edge.writer.failing = True

        failed = [edge.get(CLICK) for _ in range(3)]
        assert [(answer.status, answer.recorded) for answer in failed] == [(302, False)] * 3
        assert failed[0].headers["location"] == edge.replica.ads["ad_1"].landing_url
        wait_until(lambda: edge.get("/-/readyz").status == 503)
        assert edge.get("/-/healthz").status == 200

        edge.writer.failing = False
        wait_until(lambda: edge.get("/-/readyz").status == 200)
        assert edge.get(CLICK).recorded
        assert edge.metric('unrecorded_total{reason="log_failed"}') == 3

    assert edge.writer.kept() == [(EDGE_ID, 1), (EDGE_ID, 5)]
    assert edge.writer.lost() == {(EDGE_ID, seq) for seq in (2, 3, 4)}


def test_an_idle_edge_notices_a_failing_log_and_its_recovery_by_its_heartbeats() -> None:
    with RunningEdge(QUICK) as edge:
        edge.writer.failing = True
        wait_until(lambda: edge.get("/-/readyz").status == 503)
        edge.writer.failing = False
        wait_until(lambda: edge.get("/-/readyz").status == 200)


def test_a_stalled_log_freezes_nobody_and_what_it_keeps_after_all_is_not_reported_lost() -> None:
    with RunningEdge(IMPATIENT) as edge, edge.client() as first, edge.client() as second:
        edge.writer.flowing.clear()
        calls = edge.writer.calls
        wait_until(lambda: edge.writer.calls > calls)
        first.send(f"GET {CLICK} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert edge.get("/-/healthz").status == 200
        assert edge.get("/click?ad_id=nope").status == 404
        assert not first.answer().recorded
        wait_until(lambda: edge.get("/-/readyz").status == 503)
        second.send(f"GET {CLICK} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert not second.answer().recorded
        assert edge.metric('unrecorded_total{reason="log_slow"}') == 2

        edge.writer.flowing.set()
        wait_until(lambda: edge.get("/-/readyz").status == 200)
        clicks = 3
        # So impatient an edge may give up a click whenever the machine itself stands still for a moment.
        while not edge.get(CLICK).recorded and clicks < 50:
            clicks += 1

    kept, lost = set(edge.writer.kept()), edge.writer.lost()
    assert kept | lost == {(EDGE_ID, seq) for seq in range(1, clicks + 1)}
    assert not kept & lost
    assert (EDGE_ID, clicks) in kept


def test_a_click_caught_in_a_stalled_append_is_unrecorded_to_the_person_and_kept_in_the_log() -> None:
    config = EdgeConfig(heartbeat_ms=250, append_timeout_ms=100, event_header=True)
    with RunningEdge(config, ManualClock()) as edge, edge.client() as client:
        wait_until(lambda: len(edge.writer.records) == 1)
        edge.writer.flowing.clear()
        client.send(f"GET {CLICK} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: edge.writer.calls == 2)
        edge.advance(0.3)
        assert not client.answer().recorded
        edge.writer.flowing.set()
        wait_until(lambda: edge.writer.kept() == [(EDGE_ID, 1)])

    assert edge.writer.lost() == set()


def test_above_the_limit_of_pending_events_clicks_leave_at_once() -> None:
    config = EdgeConfig(heartbeat_ms=20, pending_events_max=1, append_timeout_ms=PATIENT_MS)
    with RunningEdge(config) as edge, edge.client() as client:
        edge.writer.flowing.clear()
        client.send(f"GET {CLICK} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: edge.metric("pending_events") == 1)
        assert not edge.get(CLICK).recorded
        assert edge.metric('unrecorded_total{reason="queue_full"}') == 1
        edge.writer.flowing.set()
        assert client.answer().recorded
        wait_until(lambda: edge.writer.lost() == {(EDGE_ID, 2)})


def test_an_idle_edge_logs_heartbeats_and_a_busy_one_at_least_each_second() -> None:
    clock = ManualClock()
    with RunningEdge(EdgeConfig(heartbeat_ms=250), clock) as edge:
        for number in range(1, 5):
            edge.advance(0.25)
            # One that still waits for the log is replaced by the next.
            wait_for_heartbeats(edge, number)
        idle = len(edge.writer.controls())
        for _ in range(8):
            edge.get(CLICK)
            edge.advance(0.25)
        wait_until(lambda: len(edge.writer.controls()) > idle)
        busy = len(edge.writer.controls()) - idle

    assert 1 <= busy <= 4
    heartbeats = [record for record in edge.writer.controls() if isinstance(record, Heartbeat)]
    assert [record.ts_ms for record in heartbeats] == sorted(record.ts_ms for record in heartbeats)


def wait_for_heartbeats(edge: RunningEdge, number: int) -> None:
    wait_until(lambda: len(edge.writer.controls()) >= number)


def test_no_event_is_older_than_a_heartbeat_before_it() -> None:
    clock = ManualClock()
    with RunningEdge(EdgeConfig(heartbeat_ms=250), clock) as edge:
        edge.advance(0.25)
        wait_until(lambda: len(edge.writer.controls()) >= 2)
        clock.ms -= 900
        assert edge.get(CLICK).recorded

    promise = max(record.ts_ms for record in edge.writer.controls() if isinstance(record, Heartbeat))
    assert edge.writer.events()[0].ts_ms >= promise
    assert {event.edge_id for event in edge.writer.events()} == {EDGE_ID}


def test_a_clock_that_jumps_back_begins_a_new_edge_id_and_raises_an_alarm() -> None:
    clock = ManualClock()
    with RunningEdge(EdgeConfig(heartbeat_ms=20), clock) as edge:
        start_ms = clock.ms
        edge.get(CLICK)
        clock.ms -= 5_000
        edge.get(CLICK)
        edge.get(CLICK)
        assert edge.metric("clock_jumps_total") == 1

    first, second, third = edge.writer.events()
    assert (first.edge_id, first.seq, first.ts_ms) == (EDGE_ID, 1, start_ms)
    assert (second.seq, second.ts_ms, third.seq) == (1, start_ms - 5_000, 2)
    assert second.edge_id == third.edge_id != EDGE_ID
    assert len(second.edge_id) == 16
    order = [record for record in edge.writer.records if not isinstance(record, Heartbeat)]
    assert order[1:3] == [Closing(EDGE_ID, 1, start_ms), Opening(second.edge_id, start_ms - 5_000)]
    assert edge.closing().edge_id == second.edge_id


def test_a_loss_that_could_not_be_logged_is_logged_before_the_closing_record() -> None:
    with RunningEdge(QUICK) as edge:
        edge.writer.failing = True
        assert not edge.get(CLICK).recorded
        edge.writer.failing = False
        edge.stop()

    assert isinstance(edge.writer.records[-1], Closing)
    assert edge.writer.lost() == {(EDGE_ID, 1)}
    assert any(isinstance(record, Lost) for record in edge.writer.records[:-1])


def test_a_writer_that_breaks_its_contract_ends_the_worker_loudly() -> None:
    with RunningEdge(QUICK) as edge:
        edge.writer.breaks_with = RuntimeError("a defect")
        wait_until(lambda: not edge.running)
        error, edge.error = edge.error, None

    assert isinstance(error, RuntimeError)
