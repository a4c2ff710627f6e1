"""The registry's change feed: noted by the writers of ads, read by those who keep a copy of all ads.

Writers follow each other (see sqldb.py), so a number is seen only after all smaller ones: who asks for what is behind
the last number that it saw misses nothing.
"""

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, func, select

from adtally.registry import schema
from adtally.registry.port import Ad, Changes, FeedPlace
from adtally.sqldb import SqlDatabase, lookup_statement

CHANGED_ADS_KEPT: Final = 1_000_000
"""So many changed ads can be caught up with one by one; about the time of copying ten million."""

TOKEN_BYTES: Final = 8
BATCHES_MAX: Final = 20

_ids: Final = msgspec.json.Decoder(list[str]).decode


def note_change(connection: Connection, ad_ids: Sequence[str]) -> None:
    """Note that ads were changed, in the transaction that changes them; forget what is old."""
    change = schema.change.c
    number = int(connection.execute(select(func.max(change.number))).scalar_one()) + len(ad_ids)
    row = {
        "number": number,
        "token": secrets.token_hex(TOKEN_BYTES),
        "ids": msgspec.json.encode(ad_ids).decode(),
    }
    connection.execute(schema.change.insert(), row)
    connection.execute(delete(schema.change).where(change.number < number - CHANGED_ADS_KEPT))


class SqlAdSource:
    """Implements registry.port.AdSource. Connects when it is first asked, and only reads."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @classmethod
    def connect(cls, url: str) -> "SqlAdSource":
        """Take the URL of a registry that somebody else makes. Raises ConfigError for a URL that is none."""
        return cls(SqlDatabase.connect(url, "registry"))

    def newest(self) -> FeedPlace:
        """Give the feed's end; see the port."""
        change = schema.change.c
        statement = select(change.number, change.token).order_by(change.number.desc()).limit(1)
        return FeedPlace(*self._database.rows(statement)[0])

    def changes(self, since: FeedPlace, ads_max: int) -> Changes | None:
        """Give what was changed behind a place; see the port."""
        change = schema.change.c
        rows = (
            select(change.number, change.token, change.ids)
            .where(change.number >= since.number)
            .order_by(change.number)
            .limit(BATCHES_MAX)
        )
        with self._database.transaction() as connection:
            found = connection.execute(rows).all()
            if not found or FeedPlace(*found[0][:2]) != since:
                return None
            place, ids = since, set[str]()
            for number, token, text in found[1:]:
                ids.update(_ids(text))
                place = FeedPlace(number, token)
                if len(ids) >= ads_max:
                    break
            # Read after the feed: an ad may be newer than its change, and is then named again by a later one.
            return Changes(_ads(connection, ids), place)

    def ads(self, after: str, limit: int) -> list[Ad]:
        """Give ads by ad_id; see the port."""
        ad = schema.ad.c
        statement = select(schema.ad).where(ad.ad_id > after).order_by(ad.ad_id).limit(limit)
        return [Ad(*row) for row in self._database.rows(statement)]

    def close(self) -> None:
        """Close all connections."""
        self._database.close()


def _ads(connection: Connection, ids: set[str]) -> list[Ad]:
    if not ids:
        return []
    parameter = {"ids": msgspec.json.encode(sorted(ids)).decode()}
    return [Ad(*row) for row in connection.execute(lookup_statement(connection.dialect, schema.ad), parameter)]
