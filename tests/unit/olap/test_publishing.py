"""What is chDB's own about the final tables: kills, durability, one part each, and live rows beside a long staging."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import InvalidValueError, StoreUnavailableError
from adtally.olap.chdb import ChdbStore
from adtally.olap.migrations import migrations
from adtally.olap.port import Grain
from support.olap_stores import (
    FILE_SCHEMA,
    HOUR_MS,
    MEMORY_BYTES_MAX,
    NOON_S,
    Live,
    cell,
    final_cells,
    live,
    recounted,
    total,
)

ROOT = Path(__file__).parents[3]
NOON_MS = NOON_S * 1000
DAY_MS = NOON_MS - 12 * HOUR_MS
MONTH_MS = DAY_MS - 26 * 24 * HOUR_MS
GRAINS: tuple[Grain, ...] = ("minute", "quarter_hour", "day", "month")

OLD = [Live(2, ["a"]), Live(3, ["b"], ad_id="gone"), Live(9, ["x"], minute_s=NOON_S + 3_600)]
NEW = [Live(5, ["a", "c"]), Live(1, ["d"], ad_id="new", minute_s=NOON_S + 1_800)]

PUBLISHER = f"""
import os, signal, sys
from pathlib import Path
from adtally import faultpoint
from adtally.olap.chdb import ChdbStore

path, file, place, at = sys.argv[1:]
reached = 0
def kill(name):
    global reached
    if name == place:
        reached += 1
        if reached == int(at):
            os.kill(os.getpid(), signal.SIGKILL)

store = ChdbStore(Path(path), {MEMORY_BYTES_MAX})
store.migrate()
faultpoint.on_reach = kill
store.stage([file] if file else [])
store.publish_hours([{NOON_MS}])
store.publish_day({DAY_MS})
store.publish_month({MONTH_MS})
"""

PLACES = [
    ("olap.stage.emptied", 1),
    ("olap.stage.filled", 1),
    ("olap.minute.emptied", 1),
    ("olap.minute.linked", 1),
    ("olap.minute.staged", 1),
    ("olap.minute.merged", 1),
    ("olap.minute.replaced", 1),
    ("olap.quarter_hour.emptied", 1),
    ("olap.quarter_hour.staged", 1),
    ("olap.quarter_hour.staged", 2),
    ("olap.quarter_hour.merged", 1),
    ("olap.quarter_hour.replaced", 1),
    ("olap.day.emptied", 1),
    ("olap.day.staged", 1),
    ("olap.day.merged", 1),
    ("olap.day.replaced", 1),
    ("olap.month.merged", 1),
    ("olap.month.replaced", 1),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "olap"


@pytest.fixture
def store(path: Path) -> Iterator[ChdbStore]:
    opened = ChdbStore(path, MEMORY_BYTES_MAX)
    opened.migrate()
    yield opened
    opened.close()


def everything(store: ChdbStore) -> dict[str, list[object]]:
    return {grain: list(final_cells(store, grain)) for grain in GRAINS}


def publish_all(store: ChdbStore, files: list[str]) -> None:
    store.stage(files)
    store.publish_hours([NOON_MS])
    store.publish_day(DAY_MS)
    store.publish_month(MONTH_MS)


@pytest.mark.parametrize(("place", "at"), PLACES)
def test_a_publisher_killed_at_any_step_leaves_what_a_repeat_makes_right(
    path: Path, tmp_path: Path, place: str, at: int
) -> None:
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    store.migrate()
    store.stage(recounted(tmp_path, *OLD))
    store.publish_hours([NOON_MS + HOUR_MS])
    publish_all(store, recounted(tmp_path, *OLD))
    store.close()
    (file,) = recounted(tmp_path, *NEW)
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}:{ROOT}"}
    died = subprocess.run(
        [sys.executable, "-c", PUBLISHER, str(path), file, place, str(at)], env=environment, check=False
    )
    assert died.returncode == -signal.SIGKILL
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    store.migrate()
    quarters = [cell(OLD[2]), cell(NEW[0]), cell(NEW[1])]
    # Old or new, and nothing between, before it is repeated.
    minutes = final_cells(store, "minute")
    assert minutes in (sorted(map(cell, OLD)), sorted(map(cell, [OLD[2], *NEW])))
    publish_all(store, [file])
    assert final_cells(store, "minute") == sorted(map(cell, [OLD[2], *NEW]))
    assert final_cells(store, "quarter_hour") == sorted(quarters)
    totals = [("ad_1", 14, 3), ("new", 1, 1)]
    assert [(row[2], *row[6:]) for row in final_cells(store, "day")] == totals
    assert [(row[2], *row[6:]) for row in final_cells(store, "month")] == totals
    store.close()


def test_a_publisher_killed_where_it_linked_the_days_other_hours_is_made_right_by_a_repeat(
    path: Path, tmp_path: Path
) -> None:
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    store.migrate()
    store.stage(recounted(tmp_path, OLD[2]))
    store.publish_hours([NOON_MS + HOUR_MS])
    store.close()
    (file,) = recounted(tmp_path, *NEW)
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}:{ROOT}"}
    command = [sys.executable, "-c", PUBLISHER, str(path), file, "olap.quarter_hour.linked", "1"]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    assert final_cells(store, "quarter_hour") == [cell(OLD[2])]
    publish_all(store, [file])
    assert final_cells(store, "quarter_hour") == [cell(NEW[0]), cell(OLD[2]), cell(NEW[1])]
    store.close()


def test_a_publisher_of_an_emptied_hour_killed_between_is_made_right_by_a_repeat(path: Path, tmp_path: Path) -> None:
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    store.migrate()
    publish_all(store, recounted(tmp_path, *OLD[:2]))
    store.close()
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}:{ROOT}"}
    command = [sys.executable, "-c", PUBLISHER, str(path), "", "olap.minute.replaced", "1"]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    assert final_cells(store, "minute") == []
    assert len(final_cells(store, "quarter_hour")) == 2
    publish_all(store, [])
    assert everything(store) == {grain: [] for grain in GRAINS}
    store.close()


def test_what_is_published_is_one_part_a_partition(store: ChdbStore, tmp_path: Path) -> None:
    for n in (0, 1, 7):
        hour_s = NOON_S + n * 3_600
        store.stage([*recounted(tmp_path, Live(1, minute_s=hour_s)), *recounted(tmp_path, Live(2, minute_s=hour_s))])
        store.publish_hours([hour_s * 1000])
    store.publish_day(DAY_MS)
    store.publish_month(MONTH_MS)
    parts = store._run(
        "SELECT table, count(), uniqExact(partition) FROM system.parts WHERE active "
        "AND match(table, '_final(_6h|_week)?$') GROUP BY table ORDER BY table"
    )
    assert [[name, int(count), int(partitions)] for name, count, partitions in parts] == [
        ["day_final_week", 1, 1],
        ["minute_final_6h", 2, 2],
        ["month_final", 1, 1],
        ["quarter_hour_final", 1, 1],
    ]


def test_merged_parts_of_final_tables_are_synced_and_compressed_well(store: ChdbStore) -> None:
    made = store._run("SELECT create_table_query FROM system.tables WHERE match(name, '_final|minute_staged')")
    assert len(made) == 9
    for (statement,) in made:
        for setting in ("min_rows_to_fsync_after_merge = 1", "fsync_part_directory = 1", "codec = 'ZSTD(3)'"):
            assert setting in statement


@pytest.mark.parametrize("name", ["a*b", "a?", "{a,b}", "a::b"])
def test_a_path_that_chdb_would_take_for_a_pattern_is_refused(store: ChdbStore, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with pytest.raises(InvalidValueError, match="pattern"):
        store.stage(recounted(folder, Live(1)))


def test_a_file_that_is_not_there_or_torn_is_an_error(store: ChdbStore, tmp_path: Path) -> None:
    (whole,) = recounted(tmp_path, Live(1))
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(Path(whole).read_bytes()[:-9])
    for bad in (str(torn), str(tmp_path / "absent.parquet")):
        with pytest.raises(StoreUnavailableError):
            store.stage([whole, bad])
    store.stage([whole])
    assert store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, "live", 1).cells == 1


def test_live_rows_do_not_wait_behind_a_long_staging(store: ChdbStore, tmp_path: Path) -> None:
    file, count = tmp_path / "large.parquet", 1_000_000
    columns = {
        "advertiser_id": ["acme"] * count,
        "campaign_id": [""] * count,
        "ad_id": [f"ad_{n}" for n in range(count)],
        "minute_s": [NOON_S + n % 60 * 60 for n in range(count)],
        "device": ["mobile"] * count,
        "outcome": ["counted"] * count,
        "clicks": [1] * count,
        "users": [[f"u{n}"] for n in range(count)],
    }
    pq.write_table(pa.table(columns, schema=FILE_SCHEMA), file)
    staging = threading.Thread(target=store.stage, args=([str(file)],))
    staging.start()
    appended_beside, took_s = 0, list[float]()
    while staging.is_alive():
        began_s = SYSTEM_CLOCK.monotonic_s()
        store.append_live(live(Live(appended_beside + 1)))
        took_s.append(SYSTEM_CLOCK.monotonic_s() - began_s)
        appended_beside += staging.is_alive()
    staging.join()
    print(f"{appended_beside} appends beside the staging took at most {max(took_s):.3f} s")
    # One that waited for the staging would be the only one.
    assert appended_beside >= 2
    assert store.staged_differences(NOON_MS, NOON_MS + HOUR_MS, "live", 0).cells == count + 1


def test_a_store_of_the_schema_before_is_brought_to_this_one_with_its_rows(path: Path, tmp_path: Path) -> None:
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    store._run("CREATE DATABASE adtally ENGINE = Atomic")
    for version in (1, 2):
        for statement in migrations("adtally")[version]:
            store._run(statement)
    store._run(
        "CREATE TABLE adtally.migration (version UInt32, applied DateTime DEFAULT now()) "
        "ENGINE = MergeTree ORDER BY version"
    )
    store._run("INSERT INTO adtally.migration (version) VALUES (1), (2)")
    store._run(
        "INSERT INTO adtally.minute_live_input VALUES "
        f"('acme', 'spring', 'ad_1', toDateTime({NOON_S}), 'mobile', 'counted', '0', 3, ['u'])"
    )
    for _ in range(2):
        store.migrate()
    assert total(store) == (3, 1)
    store.append_live(live(Live(5, ["u", "v"])))
    assert total(store) == (5, 2)
    publish_all(store, recounted(tmp_path, Live(5, ["u"])))
    assert everything(store)["minute"] == [cell(Live(5, ["u"]))]
    left = store._run("SELECT name FROM system.tables WHERE database = 'adtally' AND name LIKE 'minute%' ORDER BY name")
    assert [name for (name,) in left] == [
        "minute_final_6h",
        "minute_final_6h_staging",
        "minute_live",
        "minute_live_rows",
        "minute_live_rows_feed",
        "minute_staged",
    ]
    store.close()
