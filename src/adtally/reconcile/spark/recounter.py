"""Implements Recounter by Spark, whose driver is a child process."""

import tempfile
from typing import ClassVar

from adtally.lake.address import S3Access
from adtally.reconcile.port import RecountJob
from adtally.reconcile.recounting import ChildRecounter
from adtally.reconcile.spark.messages import Cluster, Request


class SparkRecounter(ChildRecounter):
    """Needs PySpark (the extra `spark`) and Java 17 where it runs; its first job starts both, which takes seconds.

    Spark's driver keeps its executors until `close`. With a master of `local[n]` the heap of its JVM is the first
    job's `memory_bytes_max`, and Python and what a JVM takes beside its heap come on top; else executors are as large
    as Spark's own configuration says, and the driver's heap holds what they hand over.
    """

    module: ClassVar[str] = "adtally.reconcile.spark.child"

    def __init__(self, cluster: Cluster, s3: S3Access | None = None) -> None:
        super().__init__()
        self._cluster = cluster
        self._s3 = s3
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def request(self, job: RecountJob, *, count: bool) -> Request:
        """Give what the child is to be told."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="adtally-spark-", ignore_cleanup_errors=True)
        return Request(job, count, self._cluster, self._scratch.name, self._s3)

    def close(self) -> None:
        """Kill the child, as of any recounter; its JVM ends by itself, and what it has spilled is removed."""
        super().close()
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            scratch.cleanup()
