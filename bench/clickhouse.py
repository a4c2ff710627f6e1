"""A ClickHouse server as the OLAP store: live rows, a day of recounted minutes, and questions about one ad."""

import tempfile
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from deploy.local.clickhouse import VERSION, ClickHouse

from adtally.clock import SYSTEM_CLOCK
from adtally.olap.clickhouse import ClickHouseStore
from adtally.olap.port import AggregateQuery, LiveRows, Source
from adtally.utc import DAY_MS, HOUR_MS
from bench.lake_clicks import START_MS
from bench.results import Row, middle, rates

MEMORY_BYTES_MAX: Final = 2 * 1024**3
LIVE_BATCH: Final = 20_000
QUESTIONS: Final = 200
ADS: Final = 100_000
DAY_START_MS: Final = START_MS - START_MS % DAY_MS


def measure(quick: bool) -> list[Row]:
    """Give a row for each of them."""
    cells = 600_000 if quick else 2_400_000
    with tempfile.TemporaryDirectory(prefix="adtally-bench-") as name:
        server = ClickHouse(Path(name) / "server")
        server.start()
        store = ClickHouseStore(
            [server.url], server.user, server.password, database="bench", memory_bytes_max=MEMORY_BYTES_MAX
        )
        try:
            store.migrate()
            live = _append(store, 10 if quick else 40)
            staged, published = _publish(store, Path(name), cells)
            hour = [_ask(store, number, HOUR_MS) for number in range(QUESTIONS)]
            day = [_ask(store, number, DAY_MS) for number in range(QUESTIONS)]
        finally:
            store.close()
            server.kill()
    of = f"ClickHouse server {VERSION}"
    return [
        Row("clickhouse", f"{of}: live rows of two users, in batches of {LIVE_BATCH:,}", f"{middle(live):,.0f} rows/s",
            rates(live)),
        Row("clickhouse", f"{of}: staging {cells:,} recounted cells of two users", f"{cells / staged:,.0f} cells/s",
            f"{staged:.1f} s"),
        Row("clickhouse", f"{of}: publishing them, as 24 hours and their day", f"{cells / published:,.0f} cells/s",
            f"{published:.1f} s"),
        Row("clickhouse", f"{of}: one ad by minute over an hour of {cells // 24:,} cells, uncached", _percentiles(hour),
            f"{QUESTIONS} ads", "p99 25 ms", "8 ms"),
        Row("clickhouse", f"{of}: one ad by minute over a day of {cells:,} cells, uncached", _percentiles(day),
            f"{QUESTIONS} ads", "p99 60 ms", "15 ms"),
    ]  # fmt: skip


def _append(store: ClickHouseStore, batches: int) -> list[float]:
    found = []
    for batch in range(batches):
        numbers = range(batch * LIVE_BATCH, (batch + 1) * LIVE_BATCH)
        rows = LiveRows(
            advertiser_id=[f"adv_{number % 997}" for number in numbers],
            campaign_id=[f"campaign_{number % 4_001}" for number in numbers],
            ad_id=[f"ad_{number % ADS}" for number in numbers],
            minute_s=[DAY_START_MS // 1000 + number % 60 * 60 for number in numbers],
            device=["mobile"] * LIVE_BATCH,
            outcome=["counted"] * LIVE_BATCH,
            shard=["0"] * LIVE_BATCH,
            clicks=[2] * LIVE_BATCH,
            users=[[f"user-{number:016x}", f"user-{number + 1:016x}"] for number in numbers],
        )
        began_s = SYSTEM_CLOCK.monotonic_s()
        store.append_live(rows)
        found.append(LIVE_BATCH / (SYSTEM_CLOCK.monotonic_s() - began_s))
    return found


def _publish(store: ClickHouseStore, folder: Path, cells: int) -> tuple[float, float]:
    """Give how long staging took, and publishing after it."""
    numbers = range(cells)
    columns = {
        "advertiser_id": [f"adv_{number % ADS % 997}" for number in numbers],
        "campaign_id": [f"campaign_{number % ADS % 4_001}" for number in numbers],
        "ad_id": [f"ad_{number % ADS}" for number in numbers],
        "minute_s": [DAY_START_MS // 1000 + number * 1_440 // cells * 60 for number in numbers],
        "device": ["mobile"] * cells,
        "outcome": ["counted"] * cells,
        "clicks": [2] * cells,
        "users": [[f"user-{number:016x}", f"user-{number + 1:016x}"] for number in numbers],
    }
    file = folder / "recounted.parquet"
    pq.write_table(pa.table(columns), file)
    began_s = SYSTEM_CLOCK.monotonic_s()
    store.stage([str(file)])
    staged_s = SYSTEM_CLOCK.monotonic_s()
    store.publish_hours([DAY_START_MS + hour * HOUR_MS for hour in range(24)])
    store.publish_day(DAY_START_MS)
    return staged_s - began_s, SYSTEM_CLOCK.monotonic_s() - staged_s


def _ask(store: ClickHouseStore, number: int, length_ms: int) -> float:
    """Give how many ms an ad's minutes took."""
    # Only the first of the ads have clicks in the first hour.
    ad = number * 97
    query = AggregateQuery(
        tenant=f"adv_{ad % 997}",
        edges_ms=tuple(range(DAY_START_MS, DAY_START_MS + length_ms + 1, 60_000)),
        group_by=("bucket",),
        measures=("clicks", "users"),
        ad_ids=(f"ad_{ad}",),
        sources=(Source("minute", DAY_START_MS, DAY_START_MS + length_ms),),
    )
    began_s = SYSTEM_CLOCK.monotonic_s()
    rows = store.aggregate(query)
    taken_ms = (SYSTEM_CLOCK.monotonic_s() - began_s) * 1000
    if not rows:
        raise RuntimeError(f"the ad {ad} has no minutes")
    return taken_ms


def _percentiles(taken_ms: list[float]) -> str:
    ordered = sorted(taken_ms)
    return f"p50 {middle(ordered):.1f} ms, p99 {ordered[len(ordered) * 99 // 100]:.1f} ms"
