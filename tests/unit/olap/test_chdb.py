"""What is chDB's own: one process at a time, its schema's number, and what a killed process leaves behind."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adtally.errors import DataFolderError, StoreUnavailableError
from adtally.olap.chdb import ChdbStore
from adtally.olap.clickhouse_sql import compile_query
from adtally.olap.migrations import SCHEMA_VERSION, migrations
from adtally.olap.port import EVERYONE, AggregateQuery
from support.olap_stores import MEMORY_BYTES_MAX, NOON_S, Live, live, total

ROOT = Path(__file__).parents[3]

WRITER = f"""
import sys
from pathlib import Path
from adtally.olap.chdb import ChdbStore
from support.olap_stores import Live, live

store = ChdbStore(Path(sys.argv[1]), {MEMORY_BYTES_MAX})
store.migrate()
for n in range(1, 1_000_000):
    store.append_live(live(Live(n, [f"u{{n % 100}}"])))
    print(n, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "olap"


@pytest.fixture
def store(path: Path) -> Iterator[ChdbStore]:
    opened = ChdbStore(path, MEMORY_BYTES_MAX)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def other_process(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Appends running totals, and prints each one that it has appended."""
    command = [sys.executable, "-c", WRITER, str(path)]
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}:{ROOT}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.kill()


def read_total(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_a_store_that_another_process_has_open_is_refused_with_what_to_do(
    path: Path, other_process: "subprocess.Popen[str]"
) -> None:
    read_total(other_process)
    with pytest.raises(DataFolderError, match=r"open in another process.*stop the `adtally up`.*or ask it through"):
        ChdbStore(path, MEMORY_BYTES_MAX)


def test_a_store_whose_files_are_damaged_says_how_it_is_made_anew(path: Path) -> None:
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    store.migrate()
    store.close()
    (table,) = path.rglob("minute_final_6h.sql")
    table.write_bytes(b"CREATE")
    with pytest.raises(StoreUnavailableError, match="adtally rebuild"):
        ChdbStore(path, MEMORY_BYTES_MAX)


def test_what_was_appended_before_a_kill_is_there_after_it(path: Path, other_process: "subprocess.Popen[str]") -> None:
    while (last := read_total(other_process)) < 40:
        pass
    other_process.kill()
    assert other_process.stdout is not None
    last = max([last, *map(int, other_process.stdout.read().split())])
    other_process.wait()
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    store.migrate()
    clicks, users = total(store)
    # The last append may have been stored without having been told.
    assert clicks in (last, last + 1)
    assert users == min(clicks, 100)
    store.close()


def test_a_closed_store_can_be_opened_again(path: Path) -> None:
    for n in (1, 2, 3):
        store = ChdbStore(path, MEMORY_BYTES_MAX)
        store.migrate()
        store.append_live(live(Live(n, [f"u{n}"])))
        assert total(store) == (n, n)
        store.close()


def test_a_store_with_a_newer_schema_is_refused(store: ChdbStore) -> None:
    store._run(f"INSERT INTO adtally.migration (version) VALUES ({SCHEMA_VERSION + 1})")
    with pytest.raises(DataFolderError, match=f"schema {SCHEMA_VERSION + 1}.*works on schema {SCHEMA_VERSION}"):
        store.migrate()


def test_a_migration_that_was_cut_short_is_done_again(path: Path) -> None:
    store = ChdbStore(path, MEMORY_BYTES_MAX)
    store._run("CREATE DATABASE adtally ENGINE = Atomic")
    for statement in migrations("adtally")[1][:2]:
        store._run(statement)
    assert store.migrate() == SCHEMA_VERSION == max(migrations("adtally"))
    store.append_live(live(Live(5, ["u"])))
    assert total(store) == (5, 1)
    store.close()


def test_values_never_become_part_of_a_statement() -> None:
    text = "x' OR {tenant:String} --"
    asked = AggregateQuery(tenant=text, edges_ms=(0, 60_000, 180_000), group_by=("bucket",), ad_ids=(text, text))
    statement = compile_query(asked)
    assert text not in statement.sql
    assert [value for value in statement.parameters.values() if value == text] == [text] * 3
    assert compile_query(AggregateQuery(tenant=EVERYONE, edges_ms=(0, 60_000))).sql.count("{") == 2


def test_the_first_append_of_a_process_loads_no_data_frames(path: Path) -> None:
    # chDB imports pandas for an Arrow table, which would hold up the first click by 2 s.
    program = WRITER.replace("1_000_000", "2") + "\nprint('pandas' in sys.modules)"
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == ["1", "False"]


def test_thousands_of_uneven_buckets_are_told_apart(store: ChdbStore) -> None:
    edges_ms = [NOON_S * 1000]
    for n in range(5_000):
        edges_ms.append(edges_ms[-1] + (n % 3 + 1) * 60_000)
    store.append_live(live(*(Live(n + 1, minute_s=edge_ms // 1000) for n, edge_ms in enumerate(edges_ms))))
    asked = AggregateQuery(tenant=EVERYONE, edges_ms=tuple(edges_ms), group_by=("bucket",))
    assert [(row.group[0], row.clicks) for row in store.aggregate(asked)] == [(n, n + 1) for n in range(5_000)]
    # Not compared with every edge: a million cells would take 35 s.
    assert "arrayCount" not in compile_query(asked).sql
