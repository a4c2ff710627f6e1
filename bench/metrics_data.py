"""A data folder as after months of traffic, made directly in store, ledger and registry; kept for the next run.

One day has all the minutes, hour by hour, and its rollup; the 29 days before it have a rollup each, of fewer clicks. A
few hot ads have each minute on each device, all the others are clicked once an hour at most.
"""

import sqlite3
from collections import defaultdict
from pathlib import Path

import chdb
import msgspec

from adtally import wiring
from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.event import VERDICTS
from adtally.folder import DataFolder
from adtally.ledger.port import HourLine, Manifest, Rules
from adtally.olap.cells import partition_of
from adtally.olap.chdb import ChdbStore
from adtally.olap.clickhouse_sql import TABLES
from adtally.olap.final_tables import columns_of, partition_literal
from adtally.olap.port import Grain
from adtally.utc import DAY_MS, FOREVER_MS, HOUR_MS, day_of

ADVERTISERS = 10_000
DAYS = 30
HOT_CLICKS = 500
MEMORY_BYTES_MAX = 4 * 1024**3

_ID = "leftPad(toString({of}), {width}, '0')"
_DEVICE = "['desktop', 'mobile', 'tablet'][{of} % 3 + 1]"


class Size(msgspec.Struct, frozen=True):
    """How much data there is."""

    ads: int
    hot_ads: int
    tail_rows: int
    """Of an hour: minutes of ads that are not hot."""
    tail_ads_before: int
    """Of each day before the last: ads that are not hot and were clicked."""

    @property
    def minute_rows(self) -> int:
        """Give the rows of the day's final minutes."""
        return 24 * (self.hot_ads * 180 + self.tail_rows)


WHOLE = Size(10_000_000, 2_000, 3_806_667, 1_000_000)
QUICK = Size(100_000, 200, 60_000, 10_000)


class Made(msgspec.Struct, frozen=True):
    """A folder that is ready, and which day has the minutes."""

    size: Size
    day_ms: int


def ad_id(number: int) -> str:
    """Give the id of the ad of this number, from 1; the first are the hot ones."""
    return f"ad_{number:08}"


def advertiser_of(number: int) -> str:
    """Give whose the ad of this number is."""
    return f"adv_{number % ADVERTISERS:04}"


def clicks_of_hot(number: int) -> int:
    """Give the clicks that a hot ad has in each minute on each device."""
    return 1 + HOT_CLICKS // number


def make(folder: DataFolder, size: Size) -> Made:
    """Make the folder, or what is missing of it. Raises SystemExit where it holds data of another size."""
    folder.prepare()
    note = folder.root / "bench.json"
    made = Made(size, day_of(SYSTEM_CLOCK.now_ms()) - DAY_MS)
    if note.exists():
        made = msgspec.json.decode(note.read_bytes(), type=Made)
        if made.size != size:
            raise SystemExit(f"{folder.root} has data of another size: name another folder or remove it")
    else:
        note.write_bytes(msgspec.json.encode(made))
    if _is_ready(folder, made):
        return made
    _put_ads(folder, size.ads)
    _put_rows(folder, made)
    _put_lines(folder, made)
    return made


def _put_ads(folder: DataFolder, number: int) -> None:
    registry = wiring.open_registry(folder, Config())
    if registry.ads(None, ad_id(number - 1), 1):
        return
    with sqlite3.connect(folder.registry) as database:
        database.executescript(
            f"""
            BEGIN;
            DROP INDEX ad_by_advertiser;
            INSERT INTO advertiser WITH RECURSIVE n(i) AS (
                SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {ADVERTISERS}
              )
              SELECT printf('adv_%04d', i), printf('adv_%04d', i) FROM n;
            INSERT INTO campaign SELECT 'camp' || substr(advertiser_id, 4), advertiser_id, 'spring' FROM advertiser;
            INSERT INTO ad WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number})
              SELECT printf('ad_%08d', i), printf('adv_%04d', i % {ADVERTISERS}), 'https://example.com/landing',
                printf('camp_%04d', i % {ADVERTISERS}), '', 'active' FROM n;
            CREATE INDEX ad_by_advertiser ON ad (advertiser_id, ad_id);
            COMMIT;
            """
        )


def _put_rows(folder: DataFolder, made: Made) -> None:
    store = ChdbStore(folder.olap, MEMORY_BYTES_MAX)
    store.migrate()
    there = {(grain, span.start_ms) for grain in ("minute", "day") for span in store.spans(grain, 0, FOREVER_MS)}
    store.close()
    connection = chdb.connect(str(folder.olap))
    # In memory the state of few users takes a hundred times what it takes on disk.
    connection.query(
        "SET max_block_size = 65536, min_insert_block_size_rows = 262144, max_partitions_per_insert_block = 0"
    )
    steps = defaultdict[tuple[Grain, int], list[str]](list)
    for hour in range(24):
        start_ms = made.day_ms + hour * HOUR_MS
        steps["minute", partition_of("minute", start_ms)] += (
            [] if ("minute", start_ms) in there else _minutes(made, hour)
        )
    for back in range(DAYS):
        start_ms = made.day_ms - back * DAY_MS
        steps["day", partition_of("day", start_ms)] += [] if ("day", start_ms) in there else _day(made, back)
    for (grain, start_ms), selects in steps.items():
        if not selects:
            continue
        table = f"adtally.{TABLES[grain].name}"
        partition = partition_literal(grain, start_ms)
        connection.query(f"TRUNCATE TABLE {table}_staging")
        for select in selects:
            connection.query(f"INSERT INTO {table}_staging ({columns_of(grain)}) {select}")
        connection.query(f"OPTIMIZE TABLE {table}_staging FINAL")
        connection.query(f"ALTER TABLE {table} REPLACE PARTITION {partition} FROM {table}_staging")
        connection.query(f"TRUNCATE TABLE {table}_staging")
    connection.close()


def _minutes(made: Made, hour: int) -> list[str]:
    size, start_s = made.size, made.day_ms // 1000 + hour * 3600
    hot = (
        f"SELECT intDiv(number, 180) + 1 AS n, toUInt32({start_s} + number % 60 * 60) AS at, "
        f"intDiv(number, 60) % 3 AS d, {_hot_users('n', 'd', 'at')} AS people FROM numbers({size.hot_ads * 180})"
    )
    tail_ads = size.ads - size.hot_ads
    tail = (
        f"SELECT number + {hour * size.tail_rows} AS p, p % {tail_ads} + {size.hot_ads + 1} AS n, "
        f"toUInt32({start_s} + cityHash64(p) % 60 * 60) AS at, n AS d, [{_user('p, 1')}] AS people "
        f"FROM numbers({size.tail_rows})"
    )
    return [_rows(hot), _rows(tail)]


def _day(made: Made, back: int) -> list[str]:
    size, start_s = made.size, made.day_ms // 1000 - back * 86_400
    # A minute an hour is enough for the days before: their users would take minutes to make.
    minute = f"toUInt32({start_s} + m * 60)"
    every = 1 if back == 0 else 60
    hot = (
        f"SELECT intDiv(number, 3) + 1 AS n, {start_s} AS at, number % 3 AS d, "
        f"arrayFlatten(arrayMap(m -> {_hot_users('n', 'd', minute)}, range(0, 1440, {every}))) AS people "
        f"FROM numbers({size.hot_ads * 3})"
    )
    tail_ads = size.ads - size.hot_ads if back == 0 else size.tail_ads_before
    clicks = 24 * size.tail_rows if back == 0 else tail_ads
    tail = (
        f"SELECT number + {size.hot_ads + 1} AS n, {start_s} AS at, n AS d, "
        f"arrayMap(p -> {_user('p, 1')}, range(number, {clicks}, {tail_ads})) AS people FROM numbers({tail_ads})"
    )
    return [_rows(hot), _rows(tail)]


def _hot_users(number: str, device: str, at: str) -> str:
    return f"arrayMap(i -> {_user(f'{number}, {device}, {at}, i')}, range(1 + intDiv({HOT_CLICKS}, {number})))"


def _user(of: str) -> str:
    return f"concat('u', toString(cityHash64({of}) % 5000000))"


def _rows(cells: str) -> str:
    advertiser = _ID.format(of=f"n % {ADVERTISERS}", width=4)
    return (
        f"SELECT concat('adv_', {advertiser}), concat('ad_', {_ID.format(of='n', width=8)}), toDateTime(at, 'UTC'), "
        f"{_DEVICE.format(of='d')}, 'counted', concat('camp_', {advertiser}), length(people), "
        f"arrayReduce('uniqCombinedState(17)', people) FROM ({cells})"
    )


def _put_lines(folder: DataFolder, made: Made) -> None:
    """Say that all of it is final, and its raw events removed: else the daily second pass would find no clicks."""
    ledger = wiring.open_ledger(folder, Config())
    store = ChdbStore(folder.olap, MEMORY_BYTES_MAX)
    minutes, days = (store.spans("minute", 0, FOREVER_MS), store.spans("day", 0, FOREVER_MS))
    store.close()
    events = {span.start_ms: span.events for span in minutes}
    first_ms = made.day_ms - (DAYS - 1) * DAY_MS
    ledger.note_spans([*minutes, *days])
    for hour_ms in range(first_ms, made.day_ms + DAY_MS, HOUR_MS):
        ledger.write(_line(hour_ms, events.get(hour_ms, 0)))
    ledger.close()


def _is_ready(folder: DataFolder, made: Made) -> bool:
    ledger = wiring.open_ledger(folder, Config())
    bounds = ledger.bounds()
    ledger.close()
    return bounds is not None and bounds[1] >= made.day_ms + DAY_MS - HOUR_MS


def _line(hour_ms: int, events: int) -> HourLine:
    return HourLine(
        hour_ms=hour_ms, state="frozen", revision=1, manifest=Manifest(0, "", 0, ""), files="", previous={},
        final={"counted": events}, keys_differed=0, difference=0, missing=0, late=0,
        rules=Rules(300_000, 120_000, VERDICTS, 1), engine="bench", started_ms=hour_ms, finished_ms=hour_ms,
    )  # fmt: skip


def root_of(folder: str | None, fallback: Path) -> DataFolder:
    """Give the folder that is named, else one that goes with the run."""
    return DataFolder(Path(folder).resolve() if folder else fallback)
