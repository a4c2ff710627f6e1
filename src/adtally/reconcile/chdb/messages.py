"""What a recounter and its child say to each other: a line of JSON each way for each job."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from adtally.reconcile.port import HourCount, RecountJob

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


class Failure(msgspec.Struct, frozen=True):
    """Why a job did not come to its end; `file` where it is about one."""

    kind: Literal["gone", "damaged", "recount"]
    reason: str
    file: str = ""


class Reply(msgspec.Struct, frozen=True):
    """How a job ended: with hours (and files, where it counted), or with a failure."""

    hours: Mapping[int, HourCount] = {}
    files: tuple[str, ...] = ()
    engine: str = ""
    memory_bytes_peak: int = 0
    failure: Failure | None = None
