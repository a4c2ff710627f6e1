"""The registry in a SQL database: SQLite for one machine, PostgreSQL for many (SQLAlchemy Core, no ORM)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, func, or_, select, update

from adtally.errors import NotFoundError
from adtally.registry import keys, schema
from adtally.registry.port import Ad, Advertiser, ApiKey, Campaign, FoundAds, NewKey, Scope, UpsertResult
from adtally.registry.rules import check_ad, check_expiry
from adtally.registry.upsert import upsert
from adtally.sqldb import SqlDatabase

STREAM_ROWS: Final = 10_000
SEARCH_ROWS_MAX: Final = 200_000
"""How many ads one search looks at: some tenths of a second. Of an admin's ten million, the rest is for the next."""


class SqlRegistry:
    """Implements registry.port.Registry. Thread-safe."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, place: Path | str) -> "SqlRegistry":
        """Open a SQLite file or a database URL; see SqlDatabase.open."""
        return cls(SqlDatabase.open(place, "registry", schema.MIGRATIONS))

    def upsert_ads(self, ads: Sequence[Ad]) -> UpsertResult:
        """Store ads; see the port."""
        for ad in ads:
            check_ad(ad)
        with self._database.transaction(write=True) as connection:
            return upsert(connection, ads)

    def ad(self, ad_id: str) -> Ad:
        """Give one ad; see the port."""
        found = self._database.rows(select(schema.ad).where(schema.ad.c.ad_id == ad_id))
        if not found:
            raise NotFoundError(f"no ad {ad_id!r}")
        return Ad(*found[0])

    def ads(self, advertiser_id: str | None, after: str, limit: int) -> list[Ad]:
        """Give a page of ads; see the port."""
        ad = schema.ad.c
        statement = select(schema.ad).where(ad.ad_id > after).order_by(ad.ad_id).limit(limit)
        if advertiser_id is not None:
            statement = statement.where(ad.advertiser_id == advertiser_id)
        return [Ad(*row) for row in self._database.rows(statement)]

    def search_ads(self, advertiser_id: str | None, text: str, after: str, limit: int) -> FoundAds:
        """Search a page of ads; see the port."""
        ad = schema.ad.c
        scanned = ad.ad_id > after
        if advertiser_id is not None:
            scanned &= ad.advertiser_id == advertiser_id
        # Ids alone come from an index; the rows themselves are read up to this one.
        last = select(ad.ad_id).where(scanned).order_by(ad.ad_id).offset(SEARCH_ROWS_MAX - 1).limit(1)
        holds = or_(*(column.icontains(text, autoescape=True) for column in (ad.ad_id, ad.name, ad.campaign_id)))
        with self._database.transaction() as connection:
            edge: str | None = connection.execute(last).scalar()
            within = scanned if edge is None else scanned & (ad.ad_id <= edge)
            statement = select(schema.ad).where(within & holds).order_by(ad.ad_id).limit(limit + 1)
            found = [Ad(*row) for row in connection.execute(statement)]
        return FoundAds(found[:limit], found[limit - 1].ad_id if len(found) > limit else edge)

    def all_ads(self) -> Iterable[Ad]:
        """Stream every ad by ad_id, a page at a time."""
        after = ""
        while page := self.ads(None, after, STREAM_ROWS):
            yield from page
            after = page[-1].ad_id

    def count_ads(self) -> int:
        """Give the number of ads."""
        return int(self._database.rows(select(func.count()).select_from(schema.ad))[0][0])

    def advertisers(self, after: str, limit: int) -> list[Advertiser]:
        """Give a page of advertisers; see the port."""
        key = schema.advertiser.c.advertiser_id
        statement = select(schema.advertiser).where(key > after).order_by(key).limit(limit)
        return [Advertiser(*row) for row in self._database.rows(statement)]

    def campaigns(self, advertiser_id: str | None, after: str, limit: int) -> list[Campaign]:
        """Give a page of campaigns; see the port."""
        campaign = schema.campaign.c
        statement = select(schema.campaign).where(campaign.campaign_id > after).order_by(campaign.campaign_id)
        if advertiser_id is not None:
            statement = statement.where(campaign.advertiser_id == advertiser_id)
        return [Campaign(*row) for row in self._database.rows(statement.limit(limit))]

    def create_key(self, advertiser_id: str | None, now_ms: int, expires_ms: int | None = None) -> NewKey:
        """Make a key; see the port."""
        check_expiry(expires_ms, now_ms)
        issued = keys.issue()
        scope: Scope = "admin" if advertiser_id is None else "read"
        with self._database.transaction(write=True) as connection:
            if advertiser_id is not None:
                owner = select(schema.advertiser).where(schema.advertiser.c.advertiser_id == advertiser_id)
                if connection.execute(owner).first() is None:
                    raise NotFoundError(f"no advertiser {advertiser_id!r}: it appears with its first ad")
            row = {
                "key_id": issued.key_id,
                "advertiser_id": advertiser_id,
                "prefix": issued.prefix,
                "secret_hash": issued.secret_hash,
                "created_ms": now_ms,
                "scope": scope,
                "expires_ms": expires_ms,
            }
            connection.execute(schema.api_key.insert(), row)
        return NewKey(issued.key, issued.key_id, advertiser_id, scope, expires_ms)

    def keys(self) -> list[ApiKey]:
        """Give all keys by creation."""
        key = schema.api_key.c
        rows = self._database.rows(select(*_key_columns()).order_by(key.created_ms, key.key_id))
        return [ApiKey(*row) for row in rows]

    def revoke_key(self, key_id: str, now_ms: int) -> ApiKey:
        """Revoke a key; the time of the first revocation stays. Raises NotFoundError."""
        key = schema.api_key.c
        with self._database.transaction(write=True) as connection:
            still_valid = (key.key_id == key_id) & key.revoked_ms.is_(None)
            connection.execute(update(schema.api_key).where(still_valid).values(revoked_ms=now_ms))
            row = connection.execute(select(*_key_columns()).where(key.key_id == key_id)).first()
        if row is None:
            raise NotFoundError(f"no key {key_id!r}: `adtally keys list` shows the ids")
        return ApiKey(*row)

    def find_key(self, key: str, now_ms: int) -> ApiKey | None:
        """Give the valid key with this secret; see the port."""
        key_id = keys.key_id_of(key)
        if key_id is None:
            return None
        statement = select(schema.api_key.c.secret_hash, *_key_columns()).where(_valid(key_id, now_ms))
        rows = self._database.rows(statement)
        secret_hash, *rest = rows[0] if rows else (None,)
        return ApiKey(*rest) if keys.matches(key, secret_hash) else None

    def valid_key(self, key_id: str, now_ms: int) -> ApiKey | None:
        """Give a valid key by its id; see the port."""
        rows = self._database.rows(select(*_key_columns()).where(_valid(key_id, now_ms)))
        return ApiKey(*rows[0]) if rows else None

    def note_uses(self, used_ms: Mapping[str, int]) -> None:
        """Note when keys were last used; see the port."""
        if not used_ms:
            return
        key = schema.api_key.c
        earlier = or_(key.used_ms.is_(None), key.used_ms < bindparam("at_ms"))
        statement = update(schema.api_key).where((key.key_id == bindparam("of")) & earlier)
        with self._database.transaction(write=True) as connection:
            rows = [{"of": key_id, "at_ms": at_ms} for key_id, at_ms in used_ms.items()]
            connection.execute(statement.values(used_ms=bindparam("at_ms")), rows)

    def ping(self) -> None:
        """Return if the database answers. Raises StoreUnavailableError."""
        self._database.ping()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()


def _key_columns() -> list[Any]:
    """In the order of registry.port.ApiKey."""
    key = schema.api_key.c
    return [
        *(key.key_id, key.advertiser_id, key.prefix, key.created_ms, key.revoked_ms),
        *(key.scope, key.expires_ms, key.used_ms),
    ]


def _valid(key_id: str, now_ms: int) -> ColumnElement[bool]:
    key = schema.api_key.c
    still = or_(key.expires_ms.is_(None), key.expires_ms > now_ms)
    return (key.key_id == key_id) & key.revoked_ms.is_(None) & still
