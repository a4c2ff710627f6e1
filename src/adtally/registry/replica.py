"""What an edge reads: the registry file itself, opened read-only (apsw)."""

from pathlib import Path
from typing import Final

import apsw

from adtally.errors import DataFolderError, StoreUnavailableError
from adtally.registry.port import AdTarget

BUSY_TIMEOUT_MS: Final = 250
"""In WAL mode readers wait for nobody but a recovery after a crash and the very last connection's checkpoint."""

CACHE_KIB: Final = 16 * 1024
"""Holds the upper levels of the trees of 10 million ads. Leaves come from the system's page cache: mapping the file is
2 us faster, but then each worker's resident size grows to that of the registry."""

_FIND: Final = "SELECT campaign_id, advertiser_id, landing_url, status FROM ad WHERE ad_id = ?"


class SqliteAdReplica:
    """Implements registry.port.AdReplica for one thread. Each look-up sees the last committed change by itself."""

    def __init__(self, file: Path) -> None:
        """Open an existing registry. Raises DataFolderError where there is none."""
        self._file = file
        try:
            self._connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            self._connection.pragma("cache_size", -CACHE_KIB)
            self._execute = self._connection.cursor().execute
            self._execute(_FIND, ("",)).fetchall()
        except (apsw.CantOpenError, apsw.NotADBError, apsw.SQLError) as error:
            raise DataFolderError(
                f"{file} is no adtally registry ({error}): `adtally up` or `adtally ads import` makes one"
            ) from error
        self._data_version = self._read_data_version()

    def find(self, ad_id: str) -> AdTarget | None:
        """Give an ad's target, None where unknown. Raises StoreUnavailableError if the file cannot be read now."""
        try:
            # `get` finishes the statement; an unfinished one would hold on to its snapshot of the file.
            row = self._execute(_FIND, (ad_id,)).get
        except apsw.Error as error:
            raise StoreUnavailableError(f"{self._file} cannot be read now ({error})") from error
        return AdTarget(*row) if row is not None else None

    def refresh(self) -> bool:
        """Tell whether anything in the file was changed since the last call (PRAGMA data_version).

        False too while the file is busy: the change is reported by a later call.
        """
        try:
            found = self._read_data_version()
        except apsw.BusyError:
            return False
        changed = found != self._data_version
        self._data_version = found
        return changed

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _read_data_version(self) -> int:
        return int(self._connection.pragma("data_version"))
