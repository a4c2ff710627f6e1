"""What is Spark's own: other engines find the same, a standalone cluster, changed bytes, secrets, drivers that die."""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bench.lake_clicks import START_MS, Clicks, events, write_hours
from deploy.local.s3 import S3
from deploy.local.spark import Spark
from hypothesis import HealthCheck, given, settings

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import LakeDamagedError, RecountError
from adtally.event import VERDICTS
from adtally.ledger.port import Rules
from adtally.reconcile.chdb.recounter import ChdbRecounter
from adtally.reconcile.port import RecountJob
from adtally.reconcile.spark.messages import Cluster
from adtally.reconcile.spark.recounter import SparkRecounter
from support.plain_recount import HOUR_MS, read_cells
from support.recount_lakes import Lake, check, lakes
from support.s3 import access, fresh_url
from support.servers import Servers

pytestmark = pytest.mark.servers

RULES = Rules(300_000, 120_000, VERDICTS, 1)
MEMORY_BYTES_MAX = 512 * 1024**2
DEADLINE_S = 240
FLIPS, FLIPS_MAX = 16, 160
"""Bits that are flipped; chance may hit many that change nothing."""


@pytest.fixture(scope="module")
def finely() -> Iterator[SparkRecounter]:
    """Give one that cuts hours into buckets of few rows."""
    recounter = SparkRecounter(Cluster("local[2]", rows_max=20))
    yield recounter
    recounter.close()


def job(files: list[str], folder: Path, hours: int = 1) -> RecountJob:
    folder.mkdir()
    end_ms = START_MS + hours * HOUR_MS
    return RecountJob(START_MS, end_ms, tuple(files), RULES, str(folder), MEMORY_BYTES_MAX)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(lake=lakes())
def test_spark_counts_as_plain_python_does(finely: SparkRecounter, lake: Lake) -> None:
    check(finely, lake)


def test_a_flipped_bit_never_changes_a_number(finely: SparkRecounter, tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    path = tmp_path / "lake.parquet"
    table = events(Clicks(19, duplicate_share=0.2, users=20), 0)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
    right = path.read_bytes()
    expected = finely.recount(job([str(path)], tmp_path / "right"))
    cells = read_cells(expected.files)
    footer = int.from_bytes(right[-8:-4], "little") + 8
    found = {"named": 0, "misnamed": 0, "refused": 0, "the same": 0}
    for number in range(FLIPS_MAX):
        if number >= FLIPS and found["named"] > 4:
            break
        place = len(right) - 1 - rnd.randrange(footer) if number % 2 else rnd.randrange(len(right) - footer)
        changed = bytearray(right)
        changed[place] ^= 1 << rnd.randrange(8)
        path.write_bytes(changed)
        try:
            counted = finely.recount(job([str(path)], tmp_path / f"results-{number}"))
        except LakeDamagedError as error:
            found["named" if error.file == str(path) else "misnamed"] += 1
        except RecountError:
            found["refused"] += 1
        else:
            assert (read_cells(counted.files), counted.hours) == (cells, expected.hours), f"byte {place}"
            found["the same"] += 1
    print(found)
    assert found["misnamed"] == 0
    assert found["named"] > 4


def test_a_standalone_cluster_finds_in_s3_what_chdb_finds_there_and_shows_no_secret(
    servers: Servers, tmp_path: Path
) -> None:
    s3, spark = servers.running(S3), servers.running(Spark)
    by_spark = SparkRecounter(Cluster(spark.master, str(spark.jars)), access(s3))
    by_chdb = ChdbRecounter(s3=access(s3))
    files = uploaded(s3, write_hours(tmp_path / "lake", Clicks(30_000, users=500), 2))
    try:
        counted = by_spark.recount(job(files, tmp_path / "spark", hours=2))
        expected = by_chdb.recount(job(files, tmp_path / "chdb", hours=2))
        lines = command_lines()
    finally:
        by_spark.close()
        by_chdb.close()
    assert counted.hours == expected.hours
    assert read_cells(counted.files) == read_cells(expected.files)
    assert any(spark.master in line for line in lines)
    assert not [line for line in lines if s3.secret_key in line]
    logs = [path.read_bytes() for path in spark.folder.rglob("*") if path.is_file()]
    assert logs
    assert not [log for log in logs if s3.secret_key.encode() in log]


def uploaded(server: S3, paths: list[str]) -> list[str]:
    from adtally.lake.objects import Objects

    objects, url = Objects(access(server)), fresh_url(server)
    for path in paths:
        objects.put(f"{url}{path}", Path(path).read_bytes())
    return [f"{url}{path}" for path in paths]


def command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("kill", ["from outside", "by close"])
def test_a_killed_driver_is_an_error_takes_its_jvm_along_and_the_next_job_gets_another_one(
    tmp_path: Path, kill: str
) -> None:
    recounter = SparkRecounter(Cluster("local[1]"))
    files = write_hours(tmp_path / "lake", Clicks(1_000), 1)
    failures: list[Exception] = []

    def run() -> None:
        try:
            recounter.recount(job(files, tmp_path / "killed"))
        except RecountError as error:
            failures.append(error)

    running = threading.Thread(target=run)
    running.start()
    try:
        wait_until(lambda: jvms(recounter) != [])
        (jvm,) = jvms(recounter)
        if kill == "by close":
            recounter.close()
        else:
            assert recounter.child_pid is not None
            os.kill(recounter.child_pid, signal.SIGKILL)
        running.join(DEADLINE_S)
        assert [str(failure).partition(":")[0] for failure in failures] == [
            "the recount's process ended with status -9"
        ]
        wait_until(lambda: not Path(f"/proc/{jvm}").exists())
        assert recounter.manifests(job(files, tmp_path / "again"))[START_MS].manifest.events == 1_000
    finally:
        recounter.close()


def jvms(recounter: SparkRecounter) -> list[str]:
    pid = recounter.child_pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        found = children.read_text(encoding="utf-8").split() if pid is not None else []
        return [each for each in found if b"java" in Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0")[0]]
    except OSError:
        return []


def wait_until(true: Callable[[], bool]) -> None:
    deadline_s = SYSTEM_CLOCK.monotonic_s() + DEADLINE_S
    pause = threading.Event()
    while not true():
        assert SYSTEM_CLOCK.monotonic_s() < deadline_s, "it does not come true"
        pause.wait(0.05)
