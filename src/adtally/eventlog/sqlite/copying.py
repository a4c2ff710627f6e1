"""Copies of segments and positions, while others write them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from adtally.errors import LogError
from adtally.eventlog.port import BEGINNING, Partition, Position
from adtally.eventlog.sqlite.reader import COMMITS, committed_positions
from adtally.eventlog.sqlite.segment import DAMAGE, connect, parse_position, segment_numbers, segment_path


class SegmentFile(msgspec.Struct, frozen=True):
    """One segment of a log."""

    partition: Partition
    number: int
    path: Path
    settled: bool
    """Whether nobody will write it any more: it has a successor, and no write-ahead log."""

    @property
    def name(self) -> str:
        """Give its path below the log's folder."""
        return f"{self.partition}/{self.path.name}"


def segment_files(root: Path) -> Iterator[SegmentFile]:
    """Give the segments of a log, by partition, oldest first."""
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.exists() else []
    for folder in folders:
        numbers = segment_numbers(folder)
        for number in numbers:
            path = segment_path(folder, number)
            settled = number != numbers[-1] and not _has_wal(path)
            yield SegmentFile(Partition(folder.name), number, path, settled)


def copy_segment(source: Path, target: Path) -> None:
    """Copy what is committed of a segment into one new file. Raises LogError, and FileNotFoundError if it is gone.

    A damaged one is copied page by page as far as SQLite can, or else as the file is: its readers can tell what is
    missing, as they could before.
    """
    _copy(source, target)


def copy_positions(root: Path, target: Path, leave_out: Sequence[str]) -> None:
    """Copy the readers' positions, without those of the readers in `leave_out`. Raises LogError."""
    source = root / COMMITS
    if not source.exists():
        return
    _copy(source, target)
    try:
        connection = apsw.Connection(str(target))
        try:
            with connection:
                connection.executemany("DELETE FROM position WHERE reader = ?", [(name,) for name in leave_out])
            connection.pragma("journal_mode", "delete")
        finally:
            connection.close()
    except apsw.Error as error:
        raise LogError(f"{source}: positions cannot be copied: {error}") from error


def unreadable_for(root: Path, reader: str, gone: Sequence[SegmentFile]) -> list[Partition]:
    """Give the partitions of a copied log that lack a segment which a reader has still to read.

    `gone` are segments that were removed before they could be copied.
    """
    # Asking would make the file.
    positions = committed_positions(root).get(reader, {}) if (root / COMMITS).exists() else {}
    found = {each.partition for each in gone if each.number >= _segment(positions.get(each.partition, BEGINNING))}
    for partition, position in positions.items():
        numbers = segment_numbers(root / partition)
        if position != BEGINNING and numbers and _segment(position) < numbers[0]:
            found.add(partition)
    return sorted(found)


def _segment(position: Position) -> int:
    return 0 if position == BEGINNING else parse_position(position).segment


def _has_wal(path: Path) -> bool:
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _copy(source: Path, target: Path) -> None:
    source.stat()
    try:
        before = connect(source, apsw.SQLITE_OPEN_READONLY, None)
        try:
            after = apsw.Connection(str(target))
            try:
                with after.backup("main", before, "main") as copying:
                    copying.step()
            finally:
                after.close()
        finally:
            before.close()
    except DAMAGE:
        target.unlink(missing_ok=True)
        target.write_bytes(source.read_bytes())
    except apsw.Error as error:
        # It may have been there a moment ago.
        source.stat()
        raise LogError(f"{source} cannot be copied: {error}") from error
