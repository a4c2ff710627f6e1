"""The lake's port: files of raw events by event hour (design section 4), on a local disk or an object store.

A reader may see an event in several files, and must take each (edge_id, seq) once: so a write that is repeated after a
crash, and a compaction that is half done, change nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa


class LakeFile(msgspec.Struct, frozen=True, order=True):
    """One file of raw events. `name` is relative to the lake's root: `raw/date=YYYY-MM-DD/hour=HH/*.parquet`."""

    name: str
    size_bytes: int


class Lake(Protocol):
    """Keeps files of raw events. Thread-safe. Hours are named by their start in UTC epoch milliseconds."""

    def write(self, hour_ms: int, stem: str, events: "pa.Table") -> LakeFile:
        """Keep `events` (columns of lake/columns.py) as the hour's file `stem`, durably; the lake sorts them by
        (ad_id, ts_ms).

        Readers see the whole file or none; a file of that name is replaced. Raises LakeError where it cannot be kept.
        """
        ...

    def hours(self) -> list[int]:
        """Give the starts of the hours that hold files, ascending. Raises LakeError."""
        ...

    def files(self, hour_ms: int) -> list[LakeFile]:
        """Give the hour's files by name; none where there is no such hour. Raises LakeError."""
        ...

    def listing(self) -> dict[int, list[LakeFile]]:
        """Give `files` of all `hours` at once: where each look costs money, far fewer of them. Raises LakeError."""
        ...

    def read(self, file: LakeFile, columns: Sequence[str] | None = None) -> "pa.Table":
        """Give a file's events, or only some of their columns.

        Raises LakeFileGoneError where it was replaced, LakeDamagedError for bad bytes, LakeError.
        """
        ...

    def location(self, file: LakeFile) -> str:
        """Give the path or address under which an engine on this host reads the file."""
        ...

    def replace(self, hour_ms: int, stem: str, events: "pa.Table", old: Sequence[LakeFile]) -> LakeFile:
        """Write `events` as `stem`, and then remove `old`, except for a file of the name just written.

        A crash between leaves both, which is harmless. Raises LakeError.
        """
        ...

    def remove_hour(self, hour_ms: int) -> None:
        """Remove an hour's files for good: retention. Raises LakeError."""
        ...
