"""Half an hour of clicks and faults (`make soak`): exact at the end, and nothing grows that should not.

The first half has kills. In the second half processes only stand still now and then, so that each lives long enough
to show whether it grows; in its last part the stream has seen more than its whole window of deduplication, and
remembers as much as it ever will.
"""

import random
import subprocess
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from adtally.event import Event, decode_event_lines
from adtally.eventlog.port import BEGINNING
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.traffic.truth import TruthFile
from soak.faults import Faults
from support.embedded import ADTALLY, Embedded
from support.samples import Sample, Sampler, growth

ADS = 1_000
WINDOW_S = 8 * 60.0
"""The stream's memory: window of deduplication, lateness, and the minute that is open."""
MEMORY_GROWTH_MAX = 0.10
"""Of a process, from the first to the last third of its steady time..."""
MEMORY_NOISE_BYTES = 24 * 1024**2
"""...beside what allocators and caches do."""
FILES_GROWTH_MAX = THREADS_GROWTH_MAX = 8
THREADS_MAX = 256
"""Of a process. The store's engine has pools of up to 128 for moments such as the removal of many parts at once, and
keeps what such a moment needed."""
LOG_BYTES_MAX = 1_200.0
LAKE_BYTES_MAX = 120.0
"""Of a click, before an hour's files are merged. The log is checkpointed: its zeros and WALs are small beside it."""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Embedded]:
    system = Embedded(tmp_path / "data", edges=2)
    ads = tmp_path / "ads.csv"
    rows = [f"ad_{n},adv_{n % 20},https://shop.example/{n},cmp_{n % 40}" for n in range(ADS)]
    ads.write_text("ad_id,advertiser_id,landing_url,campaign_id\n" + "\n".join(rows) + "\n")
    system.command("ads", "import", str(ads))
    system.start()
    yield system
    system.stop()


@pytest.mark.soak
def test_hours_of_clicks_and_faults_leave_exact_numbers_and_nothing_grows(
    system: Embedded, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    seconds = request.config.getoption("--soak-minutes") * 60
    rate = request.config.getoption("--soak-rate")
    truth = tmp_path / "truth"
    begun_s = time.monotonic()
    command = [*ADTALLY, "load", "--rate", str(rate), "--seconds", str(seconds), "--truth", str(truth)]
    faults = Faults(system, random.Random(seed))
    with Sampler(system.folder) as sampler:
        with subprocess.Popen([*command, "--data-dir", str(system.folder), "--seed", str(seed)]) as load:
            try:
                faults.until(load, begun_s + seconds / 2, gentle=False)
                faults.until(load, begun_s + seconds, gentle=True)
            except BaseException:
                load.kill()
                raise
        steady_from_s = seconds / 2 + min(WINDOW_S, seconds / 4)
    sampler.write(tmp_path / "samples.jsonl")
    assert load.returncode == 0
    print(system.command("verify", "--truth", str(truth), "--wait", "120"))
    acknowledged = hold_truth_against_log(system.folder / "log", truth)
    print("faults:", *(f"{what} {times}" for what, times in sorted(faults.made.items())), sep="\n  ")
    steady = [sample for sample in sampler.samples if steady_from_s <= sample.at_s <= seconds]
    print(*(line for line in describe(sampler.samples)), sep="\n")
    grown = what_grew(steady)
    per_click = {part: size / acknowledged for part, size in sampler.samples[-1].bytes.items()}
    print("bytes of a click:", {part: round(size) for part, size in per_click.items()})
    assert not grown
    assert per_click["log"] <= LOG_BYTES_MAX
    assert per_click["lake"] <= LAKE_BYTES_MAX


def hold_truth_against_log(log: Path, truth: Path) -> int:
    """Fail unless every acknowledged event is in the log once, and give how many were acknowledged.

    Numbers of an edge have no gaps, so a byte for each of them is enough to hold all that a soak sends.
    """
    in_log = times_in_log(log)
    doubled = sum(count > 1 for counts in in_log.values() for count in counts)
    assert doubled == 0, f"{doubled} events are in the log twice"
    acknowledged, unanswered, lost = 0, 0, []
    for line in TruthFile(truth):
        unanswered += line.status is None
        ref = line.event_ref() if line.recorded else None
        if ref is None:
            continue
        acknowledged += 1
        counts = in_log.get(ref.edge_id, array("B"))
        if ref.seq >= len(counts) or not counts[ref.seq]:
            lost.append(ref)
    print(f"acknowledged {acknowledged}, unanswered {unanswered}, lost {len(lost)}, doubled {doubled}")
    assert not lost, f"{len(lost)} acknowledged events are not in the log, such as {lost[:3]}"
    return acknowledged


def times_in_log(log: Path) -> dict[str, "array[int]"]:
    """Give for each edge how often each of its numbers stands in the log."""
    reader = SqliteLogReader(log, "oracle")
    found: dict[str, array[int]] = {}
    for partition in reader.partitions():
        start = BEGINNING
        while records := reader.read(partition, start, 1 << 24):
            start = records[-1].next
            for record in records:
                assert record.kind != "damaged", record.reason
                for event in decode_event_lines(record.payload) if record.kind == "events" else ():
                    note(found, event)
    reader.close()
    return found


def note(found: dict[str, "array[int]"], event: Event) -> None:
    counts = found.setdefault(event.edge_id, array("B"))
    if event.seq >= len(counts):
        counts.extend(bytes(event.seq + 1 - len(counts)))
    counts[event.seq] += 1


def what_grew(steady: Sequence[Sample]) -> list[str]:
    """Give the processes that use more at the end of a steady time than at its beginning."""
    grown = []
    for role in steady[-1].processes if steady else ():
        memory = growth(steady, role, lambda process: process.resident_bytes)
        files = growth(steady, role, lambda process: process.files)
        if memory is None or files is None:
            continue
        threads = growth(steady, role, lambda process: process.threads) or (0, 0, 0)
        print(
            f"{role}: {memory[0] / 2**20:.0f} to {memory[1] / 2**20:.0f} MiB, {files[0]:.0f} to {files[1]:.0f} files, "
            f"{threads[0]:.0f} to {threads[1]:.0f} threads"
        )
        if memory[1] > memory[0] * (1 + MEMORY_GROWTH_MAX) + MEMORY_NOISE_BYTES:
            grown.append(f"memory of {role}: {memory}")
        if files[1] > files[0] + FILES_GROWTH_MAX:
            grown.append(f"files of {role}: {files}")
        if threads[1] > min(threads[0] + THREADS_GROWTH_MAX, THREADS_MAX):
            grown.append(f"threads of {role}: {threads}")
    return grown


def describe(samples: Sequence[Sample], lines: int = 20) -> Iterator[str]:
    """Give a table of about so many lines, for a person."""
    roles = sorted({role for sample in samples for role in sample.processes})
    yield "second  " + "  ".join(f"{role:>16}" for role in roles) + "   log, lake, olap in MiB"
    for sample in samples[:: max(1, len(samples) // lines)]:
        cells = []
        for role in roles:
            seen = sample.processes.get(role)
            cells.append(f"{'-' if seen is None else f'{seen.resident_bytes / 2**20:.0f} MiB {seen.files}':>16}")
        sizes = ", ".join(f"{size / 2**20:.0f}" for size in sample.bytes.values())
        yield f"{sample.at_s:6.0f}  " + "  ".join(cells) + f"   {sizes}"
    restarts = Counter({role: len({s.processes[role].pid for s in samples if role in s.processes}) for role in roles})
    yield f"processes that each role had: {dict(restarts)}"
