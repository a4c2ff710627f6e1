"""An edge host's own copy of the ads, in a SQLite file: registry/replica.py reads it, registry/feed.py fills it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from adtally.errors import DataFolderError
from adtally.registry.port import Ad, FeedPlace

BUSY_TIMEOUT_MS: Final = 5_000
VERSION: Final = 1
"""Of the tables; a file of another version is filled anew."""

_AD: Final = (
    "(ad_id TEXT NOT NULL PRIMARY KEY, campaign_id TEXT NOT NULL, advertiser_id TEXT NOT NULL, "
    "landing_url TEXT NOT NULL, status TEXT NOT NULL) WITHOUT ROWID"
)
_TABLES: Final = (
    f"DROP TABLE IF EXISTS ad; DROP TABLE IF EXISTS loading; DROP TABLE IF EXISTS state; CREATE TABLE loading {_AD}; "
    "CREATE TABLE state (name TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL, token TEXT NOT NULL, "
    f"after TEXT NOT NULL) WITHOUT ROWID; PRAGMA user_version = {VERSION}"
)
_PUT: Final = "(ad_id, campaign_id, advertiser_id, landing_url, status) VALUES (?, ?, ?, ?, ?)"


class Loading(msgspec.Struct, frozen=True):
    """How far a copying of all ads has come: those up to ad_id `after`, as they were at `place` or later."""

    place: FeedPlace
    after: str = ""


class AdCopy:
    """Ads, and the place in the registry's feed up to which their changes are in. For one thread.

    Each call is one transaction, so a kill leaves what some call left. All ads are copied into a table of their own,
    which takes the old one's place in one transaction: a reader sees the old ads or the new ones.
    """

    def __init__(self, file: Path) -> None:
        """Open the file, made if it is not there. Raises DataFolderError if it cannot be used."""
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._errors():
            self._connection = apsw.Connection(str(file))
            self._connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            self._connection.pragma("journal_mode", "wal")
            # What the loss of power takes comes again from the feed; place and ads are always of one commit.
            self._connection.pragma("synchronous", "normal")
            if self._connection.pragma("user_version") != VERSION:
                with self._transaction():
                    self._connection.execute(_TABLES)

    @property
    def place(self) -> FeedPlace | None:
        """Give up to where changes are in; None before the first copying of all ads is done."""
        found = self._state("place")
        return None if found is None else found.place

    @property
    def loading(self) -> Loading | None:
        """Give the copying of all ads that is under way."""
        return self._state("loading")

    def begin(self, place: FeedPlace) -> None:
        """Begin to copy all ads, which are read after the feed's end was at `place`."""
        with self._transaction():
            self._connection.execute(f"DROP TABLE IF EXISTS loading; CREATE TABLE loading {_AD}")
            self._set("loading", Loading(place))

    def extend(self, expected: Loading, ads: Sequence[Ad]) -> None:
        """Take the next ads by ad_id; nothing if the copying is not where the caller thinks it is."""
        with self._transaction():
            if self._state("loading") == expected:
                self._put("loading", ads)
                self._set("loading", Loading(expected.place, ads[-1].ad_id))

    def finish(self, expected: Loading) -> None:
        """Put the copied ads in the place of the old ones."""
        with self._transaction():
            if self._state("loading") == expected:
                self._connection.execute("DROP TABLE IF EXISTS ad; ALTER TABLE loading RENAME TO ad")
                self._connection.execute("DELETE FROM state WHERE name = 'loading'")
                self._set("place", Loading(expected.place))

    def apply(self, expected: FeedPlace, ads: Sequence[Ad], place: FeedPlace) -> None:
        """Take the ads that were changed between two places; nothing if the copy is not at the first of them."""
        with self._transaction():
            found = self._state("place")
            if found is not None and found.place == expected:
                self._put("ad", ads)
                self._set("place", Loading(place))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _state(self, name: str) -> Loading | None:
        with self._errors():
            row = self._connection.execute("SELECT number, token, after FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else Loading(FeedPlace(row[0], row[1]), row[2])

    def _set(self, name: str, state: Loading) -> None:
        row = (name, state.place.number, state.place.token, state.after)
        self._connection.execute("INSERT OR REPLACE INTO state (name, number, token, after) VALUES (?, ?, ?, ?)", row)

    def _put(self, table: str, ads: Sequence[Ad]) -> None:
        rows = [(ad.ad_id, ad.campaign_id, ad.advertiser_id, ad.landing_url, ad.status) for ad in ads]
        self._connection.executemany(f"INSERT OR REPLACE INTO {table} {_PUT}", rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                # SQLite has ended it already where the disk is full.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise DataFolderError(f"{self._file}, this host's copy of the ads, cannot be used: {error}") from error
