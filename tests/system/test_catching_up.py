"""A system whose counting is an hour behind: it catches up, nothing is late, and clicks go on meanwhile."""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from adtally.counting import DEDUP_WINDOW_MS, LATENESS_MS
from adtally.event import Event, encode_event
from adtally.eventlog.port import Partition
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from support.counts import expected_counts
from support.embedded import ADTALLY, ANSWER_S, PATIENT, Embedded, wait_for
from support.log_oracle import as_of_s, minutes, read_log
from system.test_kills import ADS

HOUR_MS = 3_600_000
BATCH = 500
SEGMENT_BYTES = 16 * 1024**2
FRESH_S = 5.0
CAUGHT_UP_S_MAX = 240.0
COMPLETE_S_MAX = 180.0
CLICKS_A_SECOND, CLICK_S = 300, 15


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    monkeypatch.setenv("ADTALLY_LAKE__FLUSH_MS", "2000")
    system = Embedded(tmp_path / "data", edges=2, environment=PATIENT)
    ads = tmp_path / "ads.csv"
    rows = [f"ad_{n},adv_{n % 5},https://shop.example/{n},cmp_{n % 10}" for n in range(ADS)]
    ads.write_text("ad_id,advertiser_id,landing_url,campaign_id\n" + "\n".join(rows) + "\n")
    system.command("ads", "import", str(ads))
    yield system
    if system.process is not None:
        system.stop()


@pytest.mark.system
def test_a_log_that_is_an_hour_ahead_is_counted_exactly_and_then_the_numbers_are_fresh(
    system: Embedded, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    events = request.config.getoption("--behind-events")
    write_an_hour(system.folder / "log", events, random.Random(seed))
    system.start()
    begun_s = time.monotonic()
    command = [*ADTALLY, "load", "--rate", str(CLICKS_A_SECOND), "--seconds", str(CLICK_S), "--json"]
    command += ["--data-dir", str(system.folder), "--seed", str(seed), "--truth", str(tmp_path / "truth")]
    command += ["--answer-timeout", str(ANSWER_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as load:
        wait_for(lambda: as_of_s(system) > time.time() - FRESH_S, CAUGHT_UP_S_MAX, "the numbers are fresh again")
        behind_s = time.monotonic() - begun_s
        assert load.stdout is not None
        sent = json.load(load.stdout)
    print(f"{events} events of an hour, fresh {behind_s:.1f} s after the start; meanwhile", sent["latency"])
    assert sent["recorded"] == sent["sent"]

    appended = read_log(system.folder)
    assert len(appended) == events + sent["sent"]
    clicks: Counter[tuple[str, int]] = Counter()
    for (_, _, ad_id, minute_s, _, outcome), (number, _) in expected_counts(
        appended, DEDUP_WINDOW_MS, LATENESS_MS
    ).items():
        if outcome == "counted":
            clicks[ad_id, minute_s] += number
    first_s, last_s = (edge(minute_s for _, minute_s in clicks) for edge in (min, max))
    newest_s = max(event.ts_ms for _, event in appended) / 1000
    wait_for(lambda: newest_s < as_of_s(system), COMPLETE_S_MAX, "numbers are complete")
    found, _ = minutes(system, first_s, last_s + 60, ADS)
    assert found == clicks

    everything = {(event.edge_id, event.seq) for _, event in appended}
    wait_for(lambda: in_lake(system.folder / "lake") == everything, COMPLETE_S_MAX, "the lake holds every event")


def write_an_hour(log: Path, events: int, rnd: random.Random) -> None:
    """Write what two edges would have logged in the last hour, had nobody counted; then both of them vanish."""
    now_ms = int(time.time() * 1_000)
    per_edge = events // 2
    for index in range(2):
        edge_id = f"{rnd.getrandbits(64):016x}"
        at_ms = now_ms - HOUR_MS
        partition = Partition(f"edge-{index}")
        writer = SqliteLogWriter.open(log, partition, edge_id, at_ms, SEGMENT_BYTES)
        for begin in range(0, per_edge, BATCH):
            batch = []
            for seq in range(begin + 1, min(begin + BATCH, per_edge) + 1):
                at_ms = now_ms - HOUR_MS + seq * (HOUR_MS - 1_000) // per_edge
                batch.append(encode_event(an_event(edge_id, seq, at_ms, rnd)))
            writer.append(batch, at_ms + 3)
        writer.close(None, at_ms + 3)


def an_event(edge_id: str, seq: int, ts_ms: int, rnd: random.Random) -> Event:
    ad = rnd.randrange(ADS)
    user = f"u{rnd.randrange(20_000)}"
    prefix = "203.0.113.0/24"
    return Event(
        edge_id, seq, ts_ms, f"ad_{ad}", f"cmp_{ad % 10}", f"adv_{ad % 5}", user, "mobile", "ok", prefix, "Mozilla/5.0"
    )


def in_lake(lake: Path) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for file in lake.rglob("*.parquet"):
        try:
            table = pq.read_table(file, columns=["edge_id", "seq"])
        except FileNotFoundError:
            # Merged into another file meanwhile.
            continue
        found |= set(zip(table["edge_id"].to_pylist(), table["seq"].to_pylist(), strict=True))
    return found
