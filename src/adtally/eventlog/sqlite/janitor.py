"""Work on finished segments that must not happen on anybody's request path: checkpoints and retention."""

from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from adtally.eventlog.port import BEGINNING, Partition
from adtally.eventlog.sqlite.reader import committed_positions
from adtally.eventlog.sqlite.segment import connect, parse_position, segment_numbers, segment_path
from adtally.folder import sync_folder
from adtally.telemetry import log


def checkpoint_finished(root: Path, vfs: str | None = None) -> int:
    """Move the WAL of every finished segment into its file; give how many were done.

    Busy ones wait for the next call.
    """
    done = 0
    for folder in _partition_folders(root):
        for number in segment_numbers(folder)[:-1]:
            path = segment_path(folder, number)
            wal = path.with_name(path.name + "-wal")
            if not wal.exists() or wal.stat().st_size == 0:
                continue
            try:
                connection = connect(path, apsw.SQLITE_OPEN_READWRITE, vfs)
                try:
                    # Without NO_CKPT_ON_CLOSE in force, the last one to leave also removes the -wal and -shm files.
                    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
                    connection.pragma("synchronous", "full")
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                finally:
                    connection.close()
                done += 1
            except apsw.Error as error:
                log.info("a finished segment is not checkpointed yet", path=str(path), error=str(error))
    return done


def remove_expired(
    root: Path, declared_readers: Callable[[Partition], Sequence[str]], before_ms: int, vfs: str | None = None
) -> list[Path]:
    """Unlink finished segments that every declared reader has passed and whose last append was before `before_ms`.

    `declared_readers` names the readers of a partition. One that never committed holds everything: nothing may be
    removed that it has yet to read. Raises LogError, and OSError.
    """
    committed = committed_positions(root, vfs)
    removed: list[Path] = []
    for folder in _partition_folders(root):
        partition = Partition(folder.name)
        stands = [committed.get(reader, {}).get(partition, BEGINNING) for reader in declared_readers(partition)]
        passed = min((0 if at == BEGINNING else parse_position(at).segment for at in stands), default=0)
        for number in segment_numbers(folder)[:-1]:
            path = segment_path(folder, number)
            if number >= passed or _last_append_ms(path, vfs) >= before_ms:
                break
            for file in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"), path):
                file.unlink(missing_ok=True)
            removed.append(path)
        if removed and removed[-1].parent == folder:
            sync_folder(folder)
    return removed


def _partition_folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.exists() else []


def _last_append_ms(path: Path, vfs: str | None) -> int:
    try:
        connection = connect(path, apsw.SQLITE_OPEN_READONLY, vfs)
        try:
            row = connection.execute("SELECT appended_ms FROM record ORDER BY n DESC LIMIT 1").fetchone()
        finally:
            connection.close()
    except apsw.Error:
        # Damaged, or its making was never completed: nobody reads more of it than was read, and its file has an age.
        return path.stat().st_mtime_ns // 1_000_000
    return 0 if row is None else int(row[0])
