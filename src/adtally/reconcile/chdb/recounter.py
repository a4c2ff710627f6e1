"""Implements Recounter by chDB in a child process."""

from typing import ClassVar

from adtally.lake.address import S3Access
from adtally.reconcile.chdb.messages import Request, Tuning
from adtally.reconcile.port import RecountJob
from adtally.reconcile.recounting import ChildRecounter


class ChdbRecounter(ChildRecounter):
    """Reads local files, and with `s3` those of a lake there.

    The child itself takes up to 500 MB beside the job's `memory_bytes_max`, which is chDB's own limit.
    """

    module: ClassVar[str] = "adtally.reconcile.chdb.child"

    def __init__(self, tuning: Tuning | None = None, s3: S3Access | None = None) -> None:
        super().__init__()
        self._tuning = tuning or Tuning()
        self._s3 = s3

    def request(self, job: RecountJob, *, count: bool) -> Request:
        """Give what the child is to be told."""
        return Request(job, count, self._tuning, self._s3)
