"""Every process is killed with -9 at seeded random moments under load: nothing is lost, nothing is doubled."""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from adtally.counting import DEDUP_WINDOW_MS, LATENESS_MS
from adtally.event import Event, decode_event_lines
from adtally.eventlog.port import BEGINNING
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.traffic.truth import TruthFile
from support.counts import expected_counts
from support.embedded import ADTALLY, Embedded, kill, wait_for

ADS = 50


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Embedded]:
    system = Embedded(tmp_path / "data", edges=2)
    ads = tmp_path / "ads.csv"
    rows = [f"ad_{n},adv_{n % 5},https://shop.example/{n},cmp_{n % 10}" for n in range(ADS)]
    ads.write_text("ad_id,advertiser_id,landing_url,campaign_id\n" + "\n".join(rows) + "\n")
    system.command("ads", "import", str(ads))
    system.start()
    yield system
    system.stop()


@pytest.mark.system
def test_nothing_is_lost_and_nothing_doubled_whatever_is_killed(
    system: Embedded, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    seconds, rate = request.config.getoption("--kill-seconds"), request.config.getoption("--kill-rate")
    truth = tmp_path / "truth"
    command = [*ADTALLY, "load", "--rate", str(rate), "--seconds", str(seconds), "--truth", str(truth)]
    with subprocess.Popen([*command, "--data-dir", str(system.folder), "--seed", str(seed)]) as load:
        kills = kill_until(system, load, random.Random(seed))
    assert load.returncode == 0
    print(system.command("verify", "--truth", str(truth), "--wait", "60"))
    appended = read_log(system)
    table = compare_with_log(system, truth, appended)
    print("kills:", dict(kills), *table, sep="\n  ")
    assert sum(kills.values()) >= seconds / 6


def kill_until(system: Embedded, load: "subprocess.Popen[bytes]", rnd: random.Random) -> Counter[str]:
    """Kill processes until the load ends; give how often each was."""
    kills: Counter[str] = Counter()
    while load.poll() is None:
        time.sleep(rnd.uniform(0.5, 4.0))
        victim = rnd.choice(["edge-0", "edge-1", "counter", "store", "supervisor"])
        kills[victim] += 1
        if victim == "supervisor":
            system.kill_supervisor()
            system.start()
        else:
            kill(system.run_info()["pids"][victim])
    return kills


def read_log(system: Embedded) -> list[tuple[int, Event]]:
    reader = SqliteLogReader(system.folder / "log", "oracle")
    appended: list[tuple[int, Event]] = []
    for partition in reader.partitions():
        start = BEGINNING
        while records := reader.read(partition, start, 1 << 24):
            start = records[-1].next
            for record in records:
                assert record.kind != "damaged", record.reason
                if record.kind == "events":
                    appended += [(record.appended_ms, event) for event in decode_event_lines(record.payload)]
    reader.close()
    return appended


def compare_with_log(system: Embedded, truth: Path, appended: list[tuple[int, Event]]) -> list[str]:
    """Hold the truth against the log, and the API's numbers against an oracle over the log."""
    in_log = Counter((event.edge_id, event.seq) for _, event in appended)
    assert max(in_log.values()) == 1, "an event is in the log twice"
    sent = Counter[tuple[str, str, str | None]]()
    acknowledged, unanswered = set(), 0
    for line in TruthFile(truth):
        sent[line.ad_id, line.user_id, line.impression_id] += 1
        ref = line.event_ref() if line.recorded else None
        if ref is not None:
            acknowledged.add((ref.edge_id, ref.seq))
        unanswered += line.status is None
    lost = acknowledged - set(in_log)
    assert not lost, f"{len(lost)} acknowledged events are not in the log, such as {sorted(lost)[:3]}"
    kept = Counter((event.ad_id, event.user_id, event.impression_id) for _, event in appended)
    assert not kept - sent, "the log holds events that nobody sent"

    expected = expected_counts(appended, DEDUP_WINDOW_MS, LATENESS_MS)
    clicks: Counter[tuple[str, int]] = Counter()
    users: dict[tuple[str, int], set[str]] = {}
    for (_, _, ad_id, minute_s, _, outcome), (number, who) in expected.items():
        if outcome == "counted":
            clicks[ad_id, minute_s] += number
            users.setdefault((ad_id, minute_s), set()).update(who)
    end_s = max(minute_s for _, minute_s in clicks) + 60
    start_s = min(minute_s for _, minute_s in clicks)
    found, found_users = minutes(system, start_s, end_s)
    assert found == clicks
    for cell, seen in users.items():
        # 32-bit hashes of the sketch: within its standard error, and exact but for a rare collision.
        assert abs(found_users[cell] - len(seen)) <= max(1, 0.0033 * 3 * len(seen)), cell
    counted = sum(clicks.values())
    return [
        f"sent {sum(sent.values())}, acknowledged {len(acknowledged)}, unanswered {unanswered}",
        f"in the log {len(appended)}, counted {counted}",
        f"acknowledged and lost {len(lost)}, doubled {sum(in_log.values()) - len(in_log)}",
    ]


def minutes(system: Embedded, start_s: int, end_s: int) -> tuple[Counter[tuple[str, int]], dict[tuple[str, int], int]]:
    """Give /metrics of every ad, minute by minute."""
    clicks: Counter[tuple[str, int]] = Counter()
    users: dict[tuple[str, int], int] = {}
    wait_for(lambda: end_s - 60 < as_of_s(system), 60, "numbers are complete")
    for n in range(ADS):
        answer = system.api("/metrics", ad_id=f"ad_{n}", start=str(start_s), end=str(end_s), granularity="minute")
        for row in answer["metrics"]:
            minute_s = int(datetime.fromisoformat(row["timestamp"]).timestamp())
            if row["clicks"]:
                clicks[f"ad_{n}", minute_s] = row["clicks"]
                users[f"ad_{n}", minute_s] = row["unique_users"]
    return clicks, users


def as_of_s(system: Embedded) -> float:
    report = system.api("/v1/status")
    return report["stream"]["as_of_ms"] / 1000 if report["stream"] else 0.0
