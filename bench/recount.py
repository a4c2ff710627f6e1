"""The recount of synthetic clicks, and DuckDB on the same files by the same rules as a yardstick."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import chdb
import msgspec

from adtally.clock import SYSTEM_CLOCK
from adtally.event import VERDICTS
from adtally.ledger.port import Rules
from adtally.olap.chdb import ChdbStore
from adtally.olap.clickhouse_sql import TABLES
from adtally.reconcile.chdb.messages import Tuning
from adtally.reconcile.chdb.recounter import ChdbRecounter
from adtally.reconcile.port import Recounted, RecountJob
from adtally.utc import day_of
from bench.lake_clicks import HOUR_MS, START_MS, Clicks, write_hours
from bench.results import Row, middle

MEMORY_BYTES_MAX = 2 * 1024**3
"""As reconcile.memory_bytes_max is by default, for both engines."""

PER_HOUR = 4_166_667
"""100 million a day."""

RULES = Rules(300_000, 120_000, VERDICTS, 1)


class DuckAnswer(msgspec.Struct, frozen=True):
    """What a DuckDB process gives."""

    seconds: float
    memory_bytes_peak: int


def measure(quick: bool, clicks: int = 10_000_000) -> list[Row]:
    """Give a row for the recount, with DuckDB's time as a ratio."""
    number = 2_000_000 if quick else clicks
    hours = max(1, -(-number // PER_HOUR))
    # The ratio wants turns; 100 million take minutes each.
    turns = 3 if number <= 10_000_000 else 1
    with tempfile.TemporaryDirectory(prefix="adtally-bench-") as name:
        folder = Path(name)
        files = write_hours(folder / "lake", Clicks(number // hours), hours)
        lake_bytes = sum(Path(file).stat().st_size for file in files)
        ours, theirs, peaks, their_peaks = [], [], [], []
        for turn in range(turns):
            results = folder / f"results-{turn}"
            results.mkdir()
            seconds, counted = _chdb(files, hours, results)
            duck = _duckdb(files, hours, results / "duckdb.parquet")
            hold_equal(counted.files, sorted(map(str, results.glob("duckdb.parquet.*"))))
            ours.append(seconds)
            theirs.append(duck.seconds)
            peaks.append(counted.memory_bytes_peak)
            their_peaks.append(duck.memory_bytes_peak)
        published = _publish(counted, hours, folder / "olap")
    ratio = middle([mine / other for mine, other in zip(ours, theirs, strict=True)])
    of_100_million = 1e8 / number
    what = f"recount of {hours * (number // hours):,} clicks in {hours} hours, memory limit 2 GiB"
    return [
        Row(
            "recount",
            what,
            f"{middle(ours):.1f} s (100 million at this pace: {middle(ours) * of_100_million:.0f} s), "
            f"peak {max(peaks) / 1024**2:,.0f} MB; {ratio:.2f} of DuckDB's time, whose peak is "
            f"{max(their_peaks) / 1024**2:,.0f} MB; equal cells, users and outcomes",
            f"{_list(ours)}; DuckDB {_list(theirs)}",
            "100 million: 300 s",
            "90 s",
        ),
        Row(
            "recount", f"publishing these hours: {published.rows:,} rows of final minutes",
            f"{published.seconds:.1f} s", "", "", "",
        ),
        Row(
            "recount", f"final minutes: bytes a row ({number / published.rows:.1f} events a row)",
            f"{published.bytes / published.rows:.1f}", "", "30", "18",
        ),
        Row(
            "recount", "lake: bytes a click",
            f"{lake_bytes / number:.1f}", "", "60", "30",
        ),
    ]  # fmt: skip


class Published(msgspec.Struct, frozen=True):
    """What final minutes took."""

    seconds: float
    rows: int
    bytes: int


def _publish(counted: Recounted, hours: int, folder: Path) -> Published:
    """Put what was recounted before readers, as the reconciler does with an hour that was never counted."""
    store = ChdbStore(folder, MEMORY_BYTES_MAX)
    store.migrate()
    starts_ms = [START_MS + hour * HOUR_MS for hour in range(hours)]
    began_s = SYSTEM_CLOCK.monotonic_s()
    store.stage(counted.files)
    for start_ms in starts_ms:
        store.staged_differences(start_ms, start_ms + HOUR_MS, "live", 0)
    for day_ms in sorted({day_of(start_ms) for start_ms in starts_ms}):
        store.publish_hours([start_ms for start_ms in starts_ms if day_of(start_ms) == day_ms])
    seconds = SYSTEM_CLOCK.monotonic_s() - began_s
    rows = sum(span.rows for span in store.spans("minute", starts_ms[0], starts_ms[-1] + HOUR_MS))
    store.close()
    # Behind the port, and from outside: what its files take.
    with_chdb = chdb.connect(str(folder))
    taken = with_chdb.query(
        "SELECT sum(bytes_on_disk) FROM system.parts WHERE active "
        f"AND database = 'adtally' AND table = '{TABLES['minute'].name}'"
    )
    size = int(bytes(taken.bytes()))
    with_chdb.close()
    return Published(seconds, rows, size)


def _list(seconds: Sequence[float]) -> str:
    return ", ".join(f"{one:.1f}" for one in seconds)


def _chdb(files: Sequence[str], hours: int, folder: Path) -> tuple[float, Recounted]:
    job = RecountJob(START_MS, START_MS + hours * HOUR_MS, tuple(files), RULES, str(folder), MEMORY_BYTES_MAX)
    recounter = ChdbRecounter(Tuning(niceness=0))
    try:
        began_s = SYSTEM_CLOCK.monotonic_s()
        counted = recounter.recount(job)
        return SYSTEM_CLOCK.monotonic_s() - began_s, counted
    finally:
        recounter.close()


def _duckdb(files: Sequence[str], hours: int, out: Path) -> DuckAnswer:
    """Count in a process of its own, too, hour by hour as we do: one statement over all of them needs more memory."""
    began_s = SYSTEM_CLOCK.monotonic_s()
    answer = subprocess.run(
        [sys.executable, "-m", "bench.recount", str(hours), str(out), *files], check=True, stdout=subprocess.PIPE
    )
    return DuckAnswer(SYSTEM_CLOCK.monotonic_s() - began_s, int(answer.stdout))


def hold_equal(ours: Sequence[str], theirs: Sequence[str]) -> None:
    """Hold all cells and users of two counts against each other, in DuckDB. Raises SystemExit where they differ."""
    import duckdb

    asked = (
        "SELECT count(*), sum(clicks), sum(len(users)), bit_xor(hash(cell)) FROM (SELECT advertiser_id, campaign_id, "
        "ad_id, minute_s, device, outcome, sum(clicks)::BIGINT AS clicks, "
        "list_sort(list_distinct(flatten(list(users)))) AS users FROM read_parquet($paths) GROUP BY ALL) cell"
    )
    with duckdb.connect() as connection:
        found = [connection.execute(asked, {"paths": list(paths)}).fetchone() for paths in (ours, theirs)]
    if found[0] != found[1]:
        raise SystemExit(f"two counts of the same clicks do not agree: {found[0]} and {found[1]}")


_DUCKDB = """
COPY (
    WITH event AS (
        SELECT ad_id, ts_ms, user_id, impression_id, verdict, device, campaign_id, advertiser_id, edge_id, seq,
            CASE WHEN impression_id IS NULL THEN ts_ms // 60000 ELSE -1 END AS minute,
            hash(ad_id, user_id, impression_id, verdict, minute) AS click
        FROM read_parquet($files) WHERE ts_ms >= $from_ms AND ts_ms < $end_ms
    ),
    repeated AS (SELECT click FROM event GROUP BY click HAVING count(*) > 1),
    ordered AS (
        SELECT *, lag(ts_ms) OVER same_click AS before_ms, lag(edge_id) OVER same_click AS before_edge_id,
            lag(seq) OVER same_click AS before_seq
        FROM event WHERE click IN (FROM repeated)
        WINDOW same_click AS (
            PARTITION BY ad_id, user_id, impression_id, verdict, minute ORDER BY ts_ms, edge_id, seq
        )
    ),
    judged AS (
        SELECT *, CASE WHEN verdict = 'ok' THEN 'counted' ELSE verdict END AS outcome
        FROM event WHERE click NOT IN (FROM repeated)
        UNION ALL BY NAME
        SELECT * EXCLUDE (before_ms, before_edge_id, before_seq), CASE WHEN verdict <> 'ok' THEN verdict
            WHEN ts_ms - before_ms < $window_ms THEN 'duplicate' ELSE 'counted' END AS outcome
        FROM ordered WHERE (edge_id, seq) IS DISTINCT FROM (before_edge_id, before_seq)
    )
    SELECT advertiser_id, campaign_id, ad_id, ts_ms // 60000 * 60 AS minute_s, device, outcome, count(*) AS clicks,
        coalesce(list(DISTINCT user_id) FILTER (outcome = 'counted'), []) AS users
    FROM judged WHERE ts_ms >= $start_ms GROUP BY ALL
) TO '{out}' (FORMAT parquet)
"""


def count_by_duckdb(hours: int, out: str, files: list[str]) -> int:
    """Count by our rules, without manifests; write a file for each hour; give this process's peak of memory."""
    import duckdb

    connection = duckdb.connect(config={"memory_limit": f"{MEMORY_BYTES_MAX}B", "threads": os.cpu_count() or 1})
    connection.execute(f"SET temp_directory = '{out}.spill'")
    per_hour = len(files) // hours
    for hour in range(hours):
        start_ms = START_MS + hour * HOUR_MS
        connection.execute(
            _DUCKDB.replace("{out}", f"{out}.{hour:03}"),
            {
                "files": files[max(0, hour - 1) * per_hour : (hour + 1) * per_hour],
                "from_ms": start_ms - RULES.dedup_window_ms,
                "start_ms": start_ms,
                "end_ms": start_ms + HOUR_MS,
                "window_ms": RULES.dedup_window_ms,
            },
        )
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    print(count_by_duckdb(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
