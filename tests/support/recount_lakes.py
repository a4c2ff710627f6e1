"""Lakes of every kind, and whether a recounter counts them as plain Python does."""

import random
import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st
from msgspec import structs

from adtally.event import VERDICTS, Event
from adtally.ledger.port import Rules
from adtally.reconcile.port import Recounter, RecountJob
from support.lake_folder import write_lake
from support.plain_recount import HOUR_MS, Appended, plain_recount, read_cells

MIDNIGHT_MS = 1_795_737_600_000
"""2026-11-27T00:00:00Z"""
MEMORY_BYTES_MAX = 512 * 1024**2

IDS = ("a", "b", "a'", "\\", "é", "", "a\tb")


class Lake(NamedTuple):
    """What lies in the lake, file by file, and what is asked."""

    files: tuple[tuple[Appended, ...], ...]
    hours: int
    rules: Rules


@st.composite
def lakes(draw: st.DrawFn) -> Lake:
    """Few ads, users and impressions; times crowd around the edges of minutes, windows, hours and the day."""
    rnd = random.Random(draw(st.integers(0, 2**32)))
    window_ms = draw(st.sampled_from([60_000, 300_000, HOUR_MS, 2 * HOUR_MS + 7]))
    rules = Rules(window_ms, draw(st.sampled_from([0, 120_000])), VERDICTS, 1)
    anchors = [MIDNIGHT_MS + rnd.choice([-1, 0, 0, 1, 2]) * HOUR_MS + rnd.choice([0, 0, 1_500_000]) for _ in range(3)]
    steps_ms = [0, 0, 1, 30_000, 59_999, 60_000, window_ms - 1, window_ms, window_ms + 1]
    seqs = dict.fromkeys(["e1", "e2", "e'3"], rnd.choice([0, 65_534, 2**40]))
    events: list[Appended] = []
    for _ in range(draw(st.integers(0, 60))):
        ts_ms = rnd.choice([event.ts_ms for event, _ in events[-6:]] + anchors)
        ts_ms += rnd.choice([1, 1, 1, -1]) * rnd.choice(steps_ms)
        edge_id = rnd.choice(list(seqs))
        seqs[edge_id] += rnd.choice([1, 1, 1, 70_000])
        event = Event(
            edge_id=edge_id,
            seq=seqs[edge_id],
            ts_ms=ts_ms,
            ad_id=rnd.choice(IDS[: draw(st.just(2) | st.just(7))]),
            campaign_id=rnd.choice(["c", "d"]),
            advertiser_id="adv",
            user_id=rnd.choice(["u", "v"]),
            device=rnd.choice(["mobile", "desktop"]),
            verdict=rnd.choice(["ok", "ok", "ok", *VERDICTS]),
            ip_prefix="10.0.0.0/24",
            user_agent="agent",
            impression_id=rnd.choice([None, None, "i", "j", ""]),
        )
        events.append((event, ts_ms + rnd.choice([0, 3, 119_999, 120_000, 120_001, 10**8])))
    files: list[list[Appended]] = [[] for _ in range(rnd.choice([1, 2, 4]))]
    for event, appended_ms in events:
        for _ in range(rnd.choice([1, 1, 1, 2, 3])):
            # A spool that is drained twice appends the same event at two times.
            rnd.choice(files).append((event, appended_ms + rnd.choice([0, 0, 0, 120_001])))
    return Lake(tuple(map(tuple, files)), draw(st.sampled_from([1, 2, 4])), rules)


def check(recounter: Recounter, lake: Lake) -> None:
    start_ms, end_ms = MIDNIGHT_MS - HOUR_MS, MIDNIGHT_MS + (lake.hours - 1) * HOUR_MS
    with tempfile.TemporaryDirectory() as name:
        folder, results = Path(name), Path(name) / "results"
        results.mkdir()
        files = write_lake(lake.files, folder)
        job = RecountJob(start_ms, end_ms, files, lake.rules, str(results), MEMORY_BYTES_MAX)
        manifests = recounter.manifests(job)
        recounted = recounter.recount(job)
        cells = read_cells(recounted.files)
    plain = plain_recount((entry for file in lake.files for entry in file), start_ms, end_ms, lake.rules)
    assert cells == plain.cells
    assert recounted.hours == plain.hours
    uncounted = {hour: structs.replace(counted, outcomes={}) for hour, counted in plain.hours.items()}
    assert manifests == uncounted
