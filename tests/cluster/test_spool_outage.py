"""The brokers are away for a time while clicks come: none is lost, none waits for them, and the spool is emptied."""

from pathlib import Path

import pytest
from deploy.local.kafka import Kafka1

from adtally.clock import SYSTEM_CLOCK
from support.embedded import wait_for
from support.servers import Servers
from support.spool_edge import (
    EdgeBeforeKafka,
    ascending_runs,
    broken_promises,
    closing,
    first_appends,
    freeze_then_kill,
    lost_numbers,
    seq_of,
    waits,
)

pytestmark = pytest.mark.servers

WAIT_S_MAX = 300.0
SAYS_FULL = (503, "the event log is away, and the spool is full\n")


def test_while_the_brokers_are_away_every_click_is_kept_and_afterwards_all_come_into_the_log(
    servers: Servers, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    away_s, rate = (request.config.getoption(name) for name in ("--log-away-seconds", "--log-away-rate"))
    kafka = servers.running(Kafka1)
    edge = EdgeBeforeKafka(kafka, tmp_path)
    with edge.running():
        pid = edge.role.pid
        with edge.traffic(seed, rate) as traffic:
            wait_for(lambda: traffic.report().recorded > 2 * rate, WAIT_S_MAX, "clicks are recorded")
            away_ms = SYSTEM_CLOCK.now_ms()
            killed_ms = freeze_then_kill(kafka, away_s)
            wait_for(lambda: edge.now.oldest_s > away_s / 2, WAIT_S_MAX, "clicks of the whole time are spooled")
            back_ms = SYSTEM_CLOCK.now_ms()
            kafka.start()
            wait_for(lambda: edge.now.spool_bytes == 0, WAIT_S_MAX, "the spool is drained")
            drained_ms = SYSTEM_CLOCK.now_ms()
            # Of a click that is in the log at once.
            recorded = traffic.report().recorded
            wait_for(lambda: traffic.report().recorded > recorded + 2 * rate, WAIT_S_MAX, "more clicks are recorded")
            report = traffic.report()
        assert edge.role.pid == pid
    lines = edge.lines()
    away, draining = waits(lines, away_ms, back_ms), waits(lines, back_ms, drained_ms)
    events, controls = edge.log()
    firsts = first_appends(events)
    deepest = max(edge.samples, key=lambda sample: sample.spool_bytes)
    print(
        f"\n{report.achieved_rate:.0f}/s for {report.seconds:.0f} s, away {(back_ms - away_ms) / 1000:.1f} s",
        f"before: {waits(lines, 0, away_ms)}",
        f"away: {away}",
        f"draining, {(drained_ms - back_ms) / 1000:.1f} s: {draining}",
        f"after: {waits(lines, drained_ms, 1 << 62)}",
        f"spooled at most {deepest.spool_bytes / 1e6:.1f} MB, the oldest {deepest.oldest_s:.1f} s old; "
        f"{edge.now.drained:.0f} events drained",
        f"sent {report.sent}, acknowledged {report.recorded}, not recorded {report.unrecorded}, in the log "
        f"{len(firsts)}, of these again {len(events) - len(firsts)}",
        sep="\n  ",
    )
    there = {each.event.seq for each in firsts}
    acknowledged = {seq_of(line) for line in lines if line.recorded}
    assert acknowledged <= there
    assert there | lost_numbers(controls) == set(range(1, closing(controls).last_seq + 1))
    # Clicks went on to be kept while the brokers were silent, and while they refused.
    for begin_ms, end_ms in ((away_ms, killed_ms), (killed_ms, back_ms)):
        kept = [line for line in lines if line.recorded and begin_ms < line.sent_ms and line.ended_ms < end_ms]
        assert len(kept) > rate
    assert broken_promises(firsts, controls) == []
    for partition in {each.partition for each in firsts}:
        # Two: what came at once, and what was spooled.
        assert ascending_runs([each.event.seq for each in firsts if each.partition == partition]) <= 2


def test_a_spool_that_is_full_is_said_and_has_room_again_once_the_brokers_are_back(
    servers: Servers, tmp_path: Path, seed: int
) -> None:
    kafka = servers.running(Kafka1)
    edge = EdgeBeforeKafka(kafka, tmp_path, spool_bytes_max=2_000_000)
    with edge.running():
        pid = edge.role.pid
        with edge.traffic(seed, 300) as traffic:
            wait_for(lambda: traffic.report().recorded > 200, WAIT_S_MAX, "clicks are recorded")
            kafka.kill()
            wait_for(lambda: edge.now.full and edge.now.unrecorded > 500, WAIT_S_MAX, "the spool is full")
            full_ms = SYSTEM_CLOCK.now_ms()
            # A small batch may still find room; what comes after it does not.
            wait_for(lambda: edge.readiness() == SAYS_FULL, WAIT_S_MAX, f"the edge says {SAYS_FULL}")
            wait_for(lambda: edge.now.unrecorded > 1_000, WAIT_S_MAX, "more clicks are not recorded")
            kafka.start()
            wait_for(lambda: edge.readiness()[0] == 200, WAIT_S_MAX, "the edge is ready again")
            ready_ms = SYSTEM_CLOCK.now_ms()
            wait_for(lambda: edge.now.spool_bytes == 0 and not edge.now.full, WAIT_S_MAX, "the spool is drained")
            recorded = traffic.report().recorded
            wait_for(lambda: traffic.report().recorded > recorded + 300, WAIT_S_MAX, "clicks are recorded again")
            report = traffic.report()
        assert edge.role.pid == pid
    lines = edge.lines()
    full = waits(lines, full_ms, ready_ms)
    events, controls = edge.log()
    there, lost = {each.event.seq for each in events}, lost_numbers(controls)
    print(
        f"\nfull: {full}",
        f"sent {report.sent}, acknowledged {report.recorded}, not recorded {report.unrecorded}, "
        f"in the log {len(there)}, lost as the log says {len(lost)}",
        sep="\n  ",
    )
    assert {seq_of(line) for line in lines if line.recorded} <= there
    assert {seq_of(line) for line in lines if line.status == 302 and not line.recorded} - there <= lost
    assert there | lost == set(range(1, closing(controls).last_seq + 1))
    assert report.refused == 0
