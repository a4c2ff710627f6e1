"""Starts Spark's driver: a JVM beside this process, which ends when this process does."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adtally.errors import RecountError
from adtally.lake.address import S3Access
from adtally.reconcile.spark.messages import Request

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HEAP_BYTES_MIN: Final = 512 * 1024**2
"""Spark refuses less than 450 MB."""

_HERE: Final = re.compile(r"local\b.*|spark://(?:127\.\d+\.\d+\.\d+|localhost):\d+")

_SETTINGS: Final = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    # Hashes wrap, as 64-bit integers do.
    "spark.sql.ansi.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    # A footer's statistics have no checksum: a flipped bit in them must not hide rows.
    "spark.sql.parquet.filterPushdown": "false",
    "spark.sql.parquet.aggregatePushdown": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    # The number of rows is known before, and with it how to cut.
    "spark.sql.adaptive.enabled": "false",
    # Users are gathered in hash tables; the default gives these up at 128 cells.
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "100000",
}


def open_session(request: Request) -> "SparkSession":
    """Start the driver, and with it the executors that the cluster has for it. Raises RecountError."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise RecountError(
            "reconcile.engine is spark, but PySpark is not installed here: install adtally with its extra `spark`"
        ) from None
    cluster, memory = request.cluster, max(HEAP_BYTES_MIN, request.job.memory_bytes_max)
    settings = {
        "spark.master": cluster.master,
        "spark.app.name": "adtally recount",
        "spark.driver.memory": f"{memory // 1024**2}m",
        "spark.driver.maxResultSize": str(memory),
        "spark.local.dir": request.scratch,
        "spark.sql.warehouse.dir": request.scratch,
    }
    if cluster.jars:
        settings["spark.jars"] = ",".join(sorted(map(str, Path(cluster.jars).absolute().glob("*.jar"))))
    if _HERE.fullmatch(cluster.master):
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder = SparkSession.builder
    for name, value in (_SETTINGS | settings).items():
        builder = builder.config(name, value)
    before = Path.cwd()
    # The JVM keeps the folder that it is started in, and leaves things there.
    os.chdir(request.scratch)
    try:
        session = builder.getOrCreate()
    except (PySparkException, OSError, RuntimeError) as error:
        raise RecountError(
            f"Spark did not start for reconcile.spark_master {cluster.master!r}: {error}; it needs Java 17 on this host"
        ) from None
    finally:
        os.chdir(before)
    if request.s3 is not None:
        _give_access(session, request.s3)
    return session


def _give_access(session: "SparkSession", s3: S3Access) -> None:
    """Tell S3A how to reach the lake.

    Now and not before: what a builder is told stands in the JVM's command line, for everybody on this host to read.
    """
    settings = {
        "endpoint.region": s3.region,
        # Nobody waits for minutes: the hours stay due, and the next pass asks again.
        "attempts.maximum": "3",
        "retry.limit": "4",
        "connection.establish.timeout": "5s",
    }
    if s3.endpoint:
        settings |= {
            "endpoint": s3.endpoint,
            "path.style.access": "true",
            "connection.ssl.enabled": str(s3.endpoint.startswith("https://")).lower(),
        }
    if s3.access_key:
        settings |= {
            "access.key": s3.access_key,
            "secret.key": s3.secret_key,
            "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        }
    for name, value in settings.items():
        session.conf.set(f"fs.s3a.{name}", value)
