"""The registry in a SQL database: SQLite for one machine, PostgreSQL for many (SQLAlchemy Core, no ORM)."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select, create_engine, event, func, select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from adtally.errors import DataFolderError, NotFoundError, StoreUnavailableError
from adtally.registry import keys, schema
from adtally.registry.port import Ad, Advertiser, ApiKey, Campaign, NewKey, UpsertResult
from adtally.registry.rules import check_ad
from adtally.registry.upsert import upsert

BUSY_TIMEOUT_S: Final = 10
"""How long SQLite waits for another process's transaction; an import's batch takes a tenth of a second."""

CACHE_KIB: Final = 64 * 1024
CHECKPOINT_PAGES: Final = 16_384
"""64 MiB of WAL: imports in random order write a page once per checkpoint instead of once per batch."""

WAL_TRIES: Final = 20
STREAM_ROWS: Final = 10_000

_WRITES: Final = "adtally_writes"


class SqlRegistry:
    """Implements registry.port.Registry. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})

    @classmethod
    def open(cls, place: Path | str) -> "SqlRegistry":
        """Open a SQLite file (a path, made if it is not there) or a database URL, and migrate it.

        Raises DataFolderError for a file that is no registry or a newer one's, StoreUnavailableError if it does not
        answer.
        """
        engine = _sqlite_engine(place) if isinstance(place, Path) else create_engine(place, paramstyle="format")
        registry = cls(engine)
        try:
            with registry._transaction(write=True) as connection:
                schema.migrate(connection)
        except Exception:
            engine.dispose()
            raise
        return registry

    def upsert_ads(self, ads: Sequence[Ad]) -> UpsertResult:
        """Store ads; see the port."""
        for ad in ads:
            check_ad(ad)
        with self._transaction(write=True) as connection:
            return upsert(connection, ads)

    def ad(self, ad_id: str) -> Ad:
        """Give one ad; see the port."""
        found = self._rows(select(schema.ad).where(schema.ad.c.ad_id == ad_id))
        if not found:
            raise NotFoundError(f"no ad {ad_id!r}")
        return Ad(*found[0])

    def ads(self, advertiser_id: str | None, after: str, limit: int) -> list[Ad]:
        """Give a page of ads; see the port."""
        ad = schema.ad.c
        statement = select(schema.ad).where(ad.ad_id > after).order_by(ad.ad_id).limit(limit)
        if advertiser_id is not None:
            statement = statement.where(ad.advertiser_id == advertiser_id)
        return [Ad(*row) for row in self._rows(statement)]

    def all_ads(self) -> Iterable[Ad]:
        """Stream every ad by ad_id, a page at a time."""
        after = ""
        while page := self.ads(None, after, STREAM_ROWS):
            yield from page
            after = page[-1].ad_id

    def count_ads(self) -> int:
        """Give the number of ads."""
        return int(self._rows(select(func.count()).select_from(schema.ad))[0][0])

    def advertisers(self, after: str, limit: int) -> list[Advertiser]:
        """Give a page of advertisers; see the port."""
        key = schema.advertiser.c.advertiser_id
        statement = select(schema.advertiser).where(key > after).order_by(key).limit(limit)
        return [Advertiser(*row) for row in self._rows(statement)]

    def campaigns(self, advertiser_id: str | None, after: str, limit: int) -> list[Campaign]:
        """Give a page of campaigns; see the port."""
        campaign = schema.campaign.c
        statement = select(schema.campaign).where(campaign.campaign_id > after).order_by(campaign.campaign_id)
        if advertiser_id is not None:
            statement = statement.where(campaign.advertiser_id == advertiser_id)
        return [Campaign(*row) for row in self._rows(statement.limit(limit))]

    def create_key(self, advertiser_id: str | None, now_ms: int) -> NewKey:
        """Make a key; see the port."""
        issued = keys.issue()
        with self._transaction(write=True) as connection:
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
            }
            connection.execute(schema.api_key.insert(), row)
        return NewKey(issued.key, issued.key_id, advertiser_id)

    def keys(self) -> list[ApiKey]:
        """Give all keys by creation."""
        key = schema.api_key.c
        rows = self._rows(select(*_key_columns()).order_by(key.created_ms, key.key_id))
        return [ApiKey(*row) for row in rows]

    def revoke_key(self, key_id: str, now_ms: int) -> ApiKey:
        """Revoke a key; the time of the first revocation stays. Raises NotFoundError."""
        key = schema.api_key.c
        with self._transaction(write=True) as connection:
            still_valid = (key.key_id == key_id) & key.revoked_ms.is_(None)
            connection.execute(update(schema.api_key).where(still_valid).values(revoked_ms=now_ms))
            row = connection.execute(select(*_key_columns()).where(key.key_id == key_id)).first()
        if row is None:
            raise NotFoundError(f"no key {key_id!r}: `adtally keys list` shows the ids")
        return ApiKey(*row)

    def find_key(self, key: str) -> ApiKey | None:
        """Give the valid key with this secret; see the port."""
        key_id = keys.key_id_of(key)
        if key_id is None:
            return None
        column = schema.api_key.c
        valid = (column.key_id == key_id) & column.revoked_ms.is_(None)
        rows = self._rows(select(column.secret_hash, *_key_columns()).where(valid))
        secret_hash, *rest = rows[0] if rows else (None,)
        return ApiKey(*rest) if keys.matches(key, secret_hash) else None

    def ping(self) -> None:
        """Return if the database answers. Raises StoreUnavailableError."""
        with self._transaction() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _rows(self, statement: Select[Any]) -> list[Any]:
        with self._transaction() as connection:
            return list(connection.execute(statement).all())

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[Connection]:
        engine = self._writer if write else self._engine
        try:
            with engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise StoreUnavailableError(f"the registry {engine.url!r} does not answer ({error.orig})") from error
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise DataFolderError(f"{engine.url!r} is no adtally registry, or damaged ({error.orig})") from error


def _key_columns() -> list[Any]:
    key = schema.api_key.c
    return [key.key_id, key.advertiser_id, key.prefix, key.created_ms, key.revoked_ms]


def _sqlite_engine(file: Path) -> Engine:
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # Transactions begin where we say so: the driver would begin them late, and not at all for DDL.
        connection.isolation_level = None
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later must hold the write lock from its start: SQLite cannot wait
        # for it in the middle (SQLITE_BUSY_SNAPSHOT).
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Set the journal mode, which SQLite does without waiting for others who open the same new file."""
    for _ in range(WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            # This does wait.
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")
