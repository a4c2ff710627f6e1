"""The lake in a bucket of S3."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from adtally import faultpoint
from adtally.errors import LakeFileGoneError
from adtally.lake.address import S3Access, split_address
from adtally.lake.hours import hour_folder, parse_hour_folder
from adtally.lake.objects import Objects
from adtally.lake.parquet import encode_events, read_events
from adtally.lake.port import LakeFile

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX: Final = ".parquet"


class S3Lake:
    """Implements Lake below `url`, `s3://bucket/prefix`; the bucket must be there. Many hosts may use it at once.

    A file is one request to write, so it is there whole or not at all; S3 answers when it is durable, and what it
    lists from then on has it. Raises ConfigError for a wrong `url`.
    """

    def __init__(self, url: str, access: S3Access) -> None:
        self._objects = Objects(access)
        self._root = url.rstrip("/")
        split_address(self._root)

    def write(self, hour_ms: int, stem: str, events: "pa.Table") -> LakeFile:
        """Keep an hour's events as its file `stem`, durably. Raises LakeError."""
        name = f"{hour_folder(hour_ms)}/{stem}{SUFFIX}"
        content = encode_events(events)
        faultpoint.reach("lake.written")
        self._objects.put(f"{self._root}/{name}", content)
        faultpoint.reach("lake.renamed")
        return LakeFile(name, len(content))

    def hours(self) -> list[int]:
        """Give the hours that hold files, ascending. Raises LakeError."""
        return list(self.listing())

    def files(self, hour_ms: int) -> list[LakeFile]:
        """Give the hour's files by name. Raises LakeError."""
        return sorted(self._listed(hour_folder(hour_ms)))

    def listing(self) -> dict[int, list[LakeFile]]:
        """Give the files of all hours: one request for each 1,000 files. Raises LakeError."""
        found: dict[int, list[LakeFile]] = {}
        for file in sorted(self._listed("raw")):
            hour_ms = parse_hour_folder(file.name.rpartition("/")[0])
            if hour_ms is not None:
                found.setdefault(hour_ms, []).append(file)
        return found

    def read(self, file: LakeFile, columns: Sequence[str] | None = None) -> "pa.Table":
        """Give a file's events, or some of their columns. Raises LakeFileGoneError, LakeDamagedError and LakeError."""
        location = self.location(file)
        content = self._objects.get(location)
        events = read_events(content, location, columns)
        if len(content) != file.size_bytes:
            raise LakeFileGoneError(f"{location} was replaced since it was listed: list the hour again")
        return events

    def location(self, file: LakeFile) -> str:
        """Give the file's address, which takes the same access as this lake."""
        return f"{self._root}/{file.name}"

    def replace(self, hour_ms: int, stem: str, events: "pa.Table", old: Sequence[LakeFile]) -> LakeFile:
        """Write `events` as `stem`, then remove `old`, but not what was just written. Raises LakeError."""
        written = self.write(hour_ms, stem, events)
        faultpoint.reach("lake.replaced")
        self._objects.delete([self.location(file) for file in old if file.name != written.name])
        faultpoint.reach("lake.removed")
        return written

    def remove_hour(self, hour_ms: int) -> None:
        """Remove an hour's files for good. Raises LakeError."""
        self._objects.delete([self.location(file) for file in self.files(hour_ms)])

    def _listed(self, folder: str) -> list[LakeFile]:
        """Give the files below a folder of the lake."""
        found = [
            LakeFile(address.removeprefix(f"{self._root}/"), size)
            for address, size in self._objects.list(f"{self._root}/{folder}")
        ]
        return [file for file in found if file.name.endswith(SUFFIX)]
