"""The recount by Spark against the one by chDB: the same files, in a folder and in S3, the same numbers."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from deploy.local.s3 import S3
from deploy.local.spark import Spark

from adtally.clock import SYSTEM_CLOCK
from adtally.lake.address import S3Access
from adtally.lake.objects import Objects
from adtally.reconcile.chdb.messages import Tuning
from adtally.reconcile.chdb.recounter import ChdbRecounter
from adtally.reconcile.port import Recounted, Recounter, RecountJob
from adtally.reconcile.spark.messages import Cluster
from adtally.reconcile.spark.recounter import SparkRecounter
from bench.lake_clicks import HOUR_MS, START_MS, Clicks, write_hours
from bench.recount import MEMORY_BYTES_MAX, RULES, hold_equal
from bench.results import Row, middle


class Engine(msgspec.Struct, frozen=True):
    """One way to count, over the files that it is given."""

    name: str
    open: Callable[[], Recounter]
    files: Sequence[str]


def measure(quick: bool) -> list[Row]:
    """Give a row for each engine and place. Raises SystemExit where two counts differ."""
    number, turns = (1_000_000, 2) if quick else (4_000_000, 3)
    with tempfile.TemporaryDirectory(prefix="adtally-bench-") as name:
        folder = Path(name)
        local = write_hours(folder / "lake", Clicks(number), 1)
        s3, spark = S3(folder / "s3"), Spark(folder / "spark")
        try:
            s3.start()
            spark.start()
            access = S3Access(s3.endpoint, "us-east-1", s3.access_key, s3.secret_key)
            there = _upload(access, f"s3://{s3.bucket}/lake", local)
            cluster = Cluster(spark.master, str(spark.jars))
            engines = [
                Engine("chDB, a folder", lambda: ChdbRecounter(Tuning(niceness=0)), local),
                Engine("chDB, S3", lambda: ChdbRecounter(Tuning(niceness=0), access), there),
                Engine("Spark, a folder", lambda: SparkRecounter(cluster), local),
                Engine("Spark, S3", lambda: SparkRecounter(cluster, access), there),
            ]
            rows, first = [], None
            for engine in engines:
                row, counted = _measured(engine, number, turns, folder)
                rows.append(row)
                first = first or counted
                if counted.hours != first.hours:
                    raise SystemExit(f"{engine.name} found {counted.hours}, the first one {first.hours}")
                hold_equal(first.files, counted.files)
        finally:
            spark.kill()
            s3.kill()
    return rows


def _measured(engine: Engine, number: int, turns: int, folder: Path) -> tuple[Row, Recounted]:
    recounter = engine.open()
    seconds = []
    try:
        for turn in range(turns + 1):
            results = folder / f"{engine.name}-{turn}"
            results.mkdir()
            job = RecountJob(START_MS, START_MS + HOUR_MS, tuple(engine.files), RULES, str(results), MEMORY_BYTES_MAX)
            began_s = SYSTEM_CLOCK.monotonic_s()
            counted = recounter.recount(job)
            seconds.append(SYSTEM_CLOCK.monotonic_s() - began_s)
    finally:
        recounter.close()
    taken = middle(seconds[1:])
    row = Row(
        "spark",
        f"recount of {number:,} clicks in one hour: {engine.name}, the same numbers as by all others",
        f"{number / taken:,.0f} clicks/s ({taken:.1f} s); the first job {seconds[0]:.1f} s",
        ", ".join(f"{each:.1f}" for each in seconds[1:]),
    )
    return row, counted


def _upload(access: S3Access, url: str, paths: Sequence[str]) -> list[str]:
    objects = Objects(access)
    addresses = [f"{url}/raw/{number}.parquet" for number in range(len(paths))]
    for address, path in zip(addresses, paths, strict=True):
        objects.put(address, Path(path).read_bytes())
    return addresses
