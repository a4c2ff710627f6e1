"""Zeros beyond the end of a WAL, so that commits find their place in a file that has its size already.

A file that grows with each commit makes each fdatasync write the inode too. Zeros end a WAL for every reader: a frame
is one by its page number, salt and checksum (SQLite's file format, section 4).
"""

from pathlib import Path
from typing import Final

from adtally.folder import append_file

AHEAD_BYTES_MAX: Final = 262_144


class Ahead:
    """Keeps one segment's WAL longer than what is used of it. Only the WAL's one writer may use it."""

    def __init__(self, segment: Path) -> None:
        self._wal: Final = segment.with_name(segment.name + "-wal")
        self._end = 0
        self._used = 0

    def keep(self, used_bytes: int) -> None:
        """See to it that the next commit, if it is as large as the last one, lets the file keep its size.

        Zeros are appended, never written at a place, so they cannot meet a frame. What cannot be written here is no
        failure: SQLite lets the file grow by itself.
        """
        last, self._used = used_bytes - self._used, used_bytes
        if used_bytes + last <= self._end:
            return
        try:
            # At most as much as is used: a segment that ends early stays small.
            self._end = append_file(self._wal, bytes(min(used_bytes, AHEAD_BYTES_MAX)))
        except OSError:
            self._end = used_bytes
