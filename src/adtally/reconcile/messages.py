"""What any recounter and its child say to each other: a line of JSON each way for each job."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from adtally.reconcile.port import HourCount


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
