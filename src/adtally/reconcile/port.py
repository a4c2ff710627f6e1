"""The recount's port: an engine that counts raw events again, apart from everything that counted them before."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from adtally.ledger.port import EdgeEvents, Manifest, Rules


class RecountJob(msgspec.Struct, frozen=True):
    """What is to be counted: the events of the whole hours in [start_ms, end_ms), each (edge_id, seq) once.

    `files` are locations (lake/port.py) of all files of these hours and of the hours that the look-back of one
    deduplication window reaches into. `folder` is an empty local folder for the results.
    """

    start_ms: int
    end_ms: int
    files: tuple[str, ...]
    rules: Rules
    folder: str
    memory_bytes_max: int


class HourCount(msgspec.Struct, frozen=True):
    """One hour as recounted."""

    manifest: Manifest
    outcomes: Mapping[str, int]
    """Events by outcome (counting.Outcome): they add up to manifest.events."""
    late: int
    """Events that were appended later than the rules' lateness: a stream leaves them out."""
    edges: tuple[EdgeEvents, ...]


class Recounted(msgspec.Struct, frozen=True):
    """The result. `files` are local Parquet files in `folder` with the columns of olap/port.py's FINAL_COLUMNS.

    Rows of one cell may stand in several files and several rows: their counts add up, their users are united.
    """

    files: tuple[str, ...]
    hours: Mapping[int, HourCount]
    """Of every hour in the job's range, empty ones too, by its start in epoch milliseconds."""
    engine: str
    memory_bytes_peak: int


class Recounter(Protocol):
    """Counts raw events again. Memory is bounded by the job, not by the size of its hours."""

    def recount(self, job: RecountJob) -> Recounted:
        """Count a range of hours. Raises LakeFileGoneError, LakeDamagedError that names the file, or RecountError."""
        ...

    def manifests(self, job: RecountJob) -> Mapping[int, HourCount]:
        """Give, cheaper than by counting, which events the hours hold: `outcomes` is empty. Raises as `recount`."""
        ...

    def close(self) -> None:
        """Break off what is under way, from any thread: it raises RecountError. A later job is done all the same."""
        ...
