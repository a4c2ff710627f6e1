"""What the chDB recounter tells its child."""

from typing import Final

import msgspec

from adtally.lake.address import S3Access
from adtally.reconcile.port import RecountJob

ROW_BYTES: Final = 192
"""So much of the memory is allowed for each row of a fold. It takes up to 250 in full speed; below that chDB spills to
disk, which works down to about 100, and costs less than cutting finer does."""

ROWS_MIN: Final = 100_000
"""Where so few rows do not fit into the memory, cutting them finer would not help."""

SCANS_MAX: Final = 3
"""An hour that needs more buckets than this is split into a local file for each bucket, instead of being read whole for
each: splitting costs about as much as three such scans."""


class Tuning(msgspec.Struct, frozen=True):
    """How the work is cut; numbers do not depend on it, so tests cut it finely. 0 means what the memory allows."""

    rows_max: int = 0
    """Rows that are folded at once."""
    scans_max: int = SCANS_MAX
    threads: int = 0
    """0 means one for each processor."""
    niceness: int = 10
    """The clicks come first."""


class Request(msgspec.Struct, frozen=True):
    """One job. Without `count` only manifests are wanted."""

    job: RecountJob
    count: bool
    tuning: Tuning
    s3: S3Access | None = None
    """For files whose location is an address there."""
