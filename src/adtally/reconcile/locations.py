"""Opens what a lake's `location` names: local paths, and addresses in S3."""

from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from adtally.errors import RecountError
from adtally.lake.address import S3Access, is_address

if TYPE_CHECKING:
    from adtally.lake.objects import Objects

FOOTER_BYTES: Final = 64 * 1024
"""So much of a file's end pyarrow asks for first; most footers are smaller."""


class Locations:
    """For one job. Without `s3` there are local paths only."""

    def __init__(self, s3: S3Access | None) -> None:
        self._s3 = s3
        self._objects: Objects | None = None

    def opened(self, location: str) -> str | IO[bytes]:
        """Give what pyarrow reads the file from. Raises LakeFileGoneError and LakeError for S3's, nothing for paths."""
        return self._there(location).open(location, FOOTER_BYTES) if is_address(location) else location

    def fetch(self, location: str, path: Path) -> None:
        """Copy a file from S3 to a local path. Raises LakeFileGoneError and LakeError."""
        self._there(location).fetch(location, path)

    def _there(self, location: str) -> "Objects":
        if self._s3 is None:
            raise RecountError(f"{location}: the recount was given no access to S3; set lake.s3_endpoint and its keys")
        if self._objects is None:
            from adtally.lake.objects import Objects

            self._objects = Objects(self._s3)
        return self._objects
