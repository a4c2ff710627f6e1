"""A copy of a SQLite file that others are writing (SQLite's online backup API)."""

import sqlite3
from contextlib import closing
from pathlib import Path

from adtally.errors import DataFolderError
from adtally.folder import sync_file, sync_folder


def copy_database(source: Path, target: Path) -> None:
    """Copy what is committed in `source` at one moment into the new file `target`, durably.

    The copy is whole without a write-ahead log beside it. `source` is only read, and its writers do not wait. Raises
    DataFolderError for a file that is no database or damaged, and OSError.
    """
    try:
        with (
            # A reader that may not write cannot move anybody's write-ahead log into the file when it closes.
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as before,
            closing(sqlite3.connect(target)) as after,
        ):
            before.backup(after)
    except sqlite3.Error as error:
        raise DataFolderError(f"{source} cannot be copied: {error}") from error
    sync_file(target)
    sync_folder(target.parent)
