"""What the Spark recounter tells its child."""

import msgspec

from adtally.lake.address import S3Access
from adtally.reconcile.port import RecountJob


class Cluster(msgspec.Struct, frozen=True):
    """The Spark that counts."""

    master: str = "local[2]"
    """`local[n]` counts in the child's own JVM; `spark://host:port` is a standalone master, whose executors must reach
    the lake's files."""
    jars: str = ""
    """A folder of jars that Spark lacks: those of S3A."""
    rows_max: int = 0
    """Rows that are folded at once, 0 for what the memory allows. Numbers do not depend on it, so tests cut finely."""
    niceness: int = 10
    """The clicks come first."""


class Request(msgspec.Struct, frozen=True):
    """One job. Without `count` only manifests are wanted. `scratch` is a folder for what Spark spills."""

    job: RecountJob
    count: bool
    cluster: Cluster
    scratch: str
    s3: S3Access | None = None
