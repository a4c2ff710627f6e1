"""The stores that a configuration names: servers where it has their addresses, else files of the data folder."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, ReconcileConfig
from adtally.errors import AdtallyError
from adtally.folder import DataFolder
from adtally.serve.cache.port import Cache
from adtally.telemetry import log
from adtally.utc import DAY_MS, FOREVER_MS

if TYPE_CHECKING:
    from adtally.eventlog.port import DeadLetters
    from adtally.lake.address import S3Access
    from adtally.lake.port import Lake
    from adtally.ledger.port import Ledger
    from adtally.ledger.sql import SqlLedger
    from adtally.olap.chdb import ChdbStore
    from adtally.olap.clickhouse import ClickHouseStore
    from adtally.olap.port import Grain
    from adtally.reconcile.port import Recounter
    from adtally.registry.port import Registry, SessionStore
    from adtally.sqldb import SqlDatabase


def open_registry(folder: DataFolder, config: Config) -> "Registry":
    """Open the registry, made where it is not there yet. Raises DataFolderError and StoreUnavailableError."""
    from adtally.registry.sql import SqlRegistry

    return SqlRegistry.open(config.registry.url or folder.registry)


def open_sessions(config: Config) -> "SessionStore | None":
    """Open where sign-in sessions are kept that several API servers share; None where there is one."""
    if not config.registry.url:
        return None
    from adtally.registry.sessions import SqlSessions

    return SqlSessions.open(config.registry.url)


def open_ledger(folder: DataFolder, config: Config) -> "SqlLedger":
    """Open the ledger, made where it is not there yet. Raises DataFolderError and StoreUnavailableError."""
    from adtally.ledger.sql import SqlLedger

    return SqlLedger.open(config.ledger.url or folder.ledger)


def frozen_hours(folder: DataFolder, config: Config) -> int:
    """Count the hours whose raw events retention has removed: the OLAP store alone has their numbers.

    Raises DataFolderError and StoreUnavailableError.
    """
    ledger = open_ledger(folder, config)
    try:
        return len({line.hour_ms for line in ledger.summaries() if line.state == "frozen"})
    finally:
        ledger.close()


def open_ledger_database(config: Config) -> "SqlDatabase":
    """Open the database of a ledger on a server, for what several hosts share besides the ledger itself."""
    from adtally.ledger.schema import MIGRATIONS
    from adtally.sqldb import SqlDatabase

    return SqlDatabase.open(config.ledger.url, "ledger", MIGRATIONS)


def open_dead_letters(folder: DataFolder, config: Config) -> "DeadLetters":
    """Open the dead letters. Raises LogError."""
    if config.ledger.url:
        from adtally.eventlog.sql.deadletters import SqlDeadLetters

        return SqlDeadLetters.open(config.ledger.url)
    from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters

    return SqliteDeadLetters(folder.dead_letters)


def open_lake(folder: DataFolder, config: Config) -> "Lake":
    """Open the lake. Raises ConfigError."""
    if config.lake.url:
        from adtally.lake.s3 import S3Lake

        return S3Lake(config.lake.url, s3_access(config))
    from adtally.lake.directory import DirectoryLake

    return DirectoryLake(folder.lake)


def s3_access(config: Config) -> "S3Access":
    """Give how S3 is reached."""
    from adtally.lake.address import S3Access

    lake = config.lake
    return S3Access(lake.s3_endpoint, lake.s3_region, lake.s3_access_key, lake.s3_secret_key)


def open_store(folder: DataFolder, config: Config) -> "ChdbStore | ClickHouseStore":
    """Open the OLAP store and bring its schema up to date. Raises DataFolderError and StoreUnavailableError."""
    olap = config.olap
    if olap.urls:
        from adtally.olap.clickhouse import ClickHouseStore

        servers = ClickHouseStore(
            olap.urls, olap.user, olap.password, database=olap.database, memory_bytes_max=olap.memory_bytes_max
        )
        servers.migrate()
        return servers
    from adtally.olap.chdb import ChdbStore

    store = ChdbStore(folder.olap, olap.memory_bytes_max)
    store.migrate()
    return store


class Wholeness:
    """Whether all that was published is in the store, as far as can be told at once when it opens.

    Its engine tells which damaged files it set aside; a store that was made anew, or restored, lacks what the ledger
    says was published last.
    """

    def __init__(self, store: "ChdbStore | ClickHouseStore", ledger: "Ledger", config: Config) -> None:
        self._store = None if config.olap.urls else cast("ChdbStore", store)
        lost = self._store.lost_parts() if self._store is not None else 0
        lacking = self._store is not None and not _holds_newest(self._store, ledger, config.reconcile)
        self._whole = lost == 0 and not lacking
        if not self._whole:
            log.error("the store lacks published numbers: none until they are made anew from the lake", lost_parts=lost)

    def is_whole(self) -> bool:
        """Tell whether numbers can be given."""
        return self._whole

    def verified(self) -> None:
        """Take note that all that is published is what the ledger says."""
        if not self._whole and self._store is not None:
            self._store.forget_lost_parts()
            self._whole = True


def _holds_newest(store: "ChdbStore", ledger: "Ledger", config: ReconcileConfig) -> bool:
    """Tell whether the newest minutes and quarter hours that were published, if they are to be kept, are there."""
    now_ms = SYSTEM_CLOCK.now_ms()
    kept: tuple[tuple[Grain, int], ...] = (("minute", config.minute_days), ("quarter_hour", config.quarter_hour_days))
    for grain, days in kept:
        said = ledger.spans(grain, now_ms - days * DAY_MS, FOREVER_MS)
        published = [span for span in said if span.rows]
        if published and not store.spans(grain, published[-1].start_ms, published[-1].start_ms + 1):
            return False
    return True


def open_recounter(config: Config) -> "Recounter":
    """Give what counts raw events again."""
    s3 = s3_access(config) if config.lake.url else None
    if config.reconcile.engine == "spark":
        from adtally.reconcile.spark.messages import Cluster
        from adtally.reconcile.spark.recounter import SparkRecounter

        return SparkRecounter(Cluster(config.reconcile.spark_master, config.reconcile.spark_jars), s3)
    from adtally.reconcile.chdb.recounter import ChdbRecounter

    return ChdbRecounter(s3=s3)


def open_cache(config: Config) -> Cache:
    """Give the cache of answers. Raises ConfigError."""
    if config.serve.cache_url:
        from adtally.serve.cache.valkey import ValkeyCache

        return ValkeyCache(config.serve.cache_url, config.log.topic, SYSTEM_CLOCK)
    from adtally.serve.cache.memory import MemoryCache

    return MemoryCache(config.serve.cache_bytes_max, SYSTEM_CLOCK)


def reasons_of(*pings: Callable[[], None]) -> list[str]:
    """Give the reasons why a store does not answer."""
    reasons = []
    for ping in pings:
        try:
            ping()
        except AdtallyError as error:
            reasons.append(str(error))
    return reasons
