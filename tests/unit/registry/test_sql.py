"""The registry's file: its versions, its durability, and statements for databases that no test runs on yet."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects.postgresql.base import PGDialect

from adtally.errors import DataFolderError, StoreUnavailableError
from adtally.migrations import migrate, schema_version
from adtally.registry import keys, schema
from adtally.registry.port import Ad
from adtally.registry.sql import SqlRegistry
from adtally.sqldb import insert_statement, lookup_statement


def open_and_count(file: Path) -> int:
    registry = SqlRegistry.open(file)
    try:
        return registry.count_ads()
    finally:
        registry.close()


def test_a_registry_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    open_and_count(file)
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("INSERT INTO schema_version VALUES (9999)")
    with pytest.raises(DataFolderError, match="version 9999"):
        SqlRegistry.open(file)


def test_opening_again_migrates_nothing_twice(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    open_and_count(file)
    open_and_count(file)
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("SELECT version FROM schema_version").fetchall() == [(1,), (2,), (3,), (4,)]


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    (migrations / "0001_first.sql").write_text("CREATE TABLE one (x TEXT);\nCREATE BROKEN;\n")
    registry = SqlRegistry.open(tmp_path / "registry.db")

    def migrate_anew() -> None:
        with registry._database.transaction(write=True) as connection:
            connection.execute(schema_version.delete())
            migrate(connection, migrations, "registry")

    with pytest.raises(StoreUnavailableError, match="BROKEN"):
        migrate_anew()
    registry.close()
    with closing(sqlite3.connect(tmp_path / "registry.db")) as raw:
        tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert "one" not in tables
        assert raw.execute("SELECT version FROM schema_version").fetchall() == [(1,), (2,), (3,), (4,)]


def test_keys_of_the_first_version_go_on_working(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    issued = [keys.issue(), keys.issue()]
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.executescript((schema.MIGRATIONS / "0001_initial.sql").read_text())
        raw.execute("CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY)")
        raw.execute("INSERT INTO schema_version VALUES (1)")
        rows = [
            (key.key_id, owner, key.prefix, key.secret_hash) for key, owner in zip(issued, (None, "a"), strict=True)
        ]
        raw.executemany("INSERT INTO api_key VALUES (?, ?, ?, ?, 5, NULL)", rows)
    registry = SqlRegistry.open(file)
    found = [registry.find_key(key.key, 10) for key in issued]
    registry.close()
    assert [(key.scope, key.expires_ms, key.used_ms) for key in found if key is not None] == [
        ("admin", None, None),
        ("read", None, None),
    ]


def test_ads_from_before_the_feed_are_kept_and_their_changes_are_noted(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    with closing(sqlite3.connect(file)) as raw, raw:
        for migration in ("0001_initial.sql", "0002_key_scope_expiry_use.sql"):
            raw.executescript((schema.MIGRATIONS / migration).read_text())
        raw.execute("CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY)")
        raw.execute("INSERT INTO schema_version VALUES (1), (2)")
        raw.execute("INSERT INTO ad VALUES ('old', 'acme', 'https://a.example/', '', '', 'active')")
    registry = SqlRegistry.open(file)
    old, new = Ad("old", "acme", "https://a.example/"), Ad("new", "acme", "https://a.example/")
    registry.upsert_ads([old, new])
    with registry._database.transaction() as connection:
        noted = connection.exec_driver_sql("SELECT number, ids FROM change ORDER BY number").all()
    assert list(registry.all_ads()) == [new, old]
    assert [tuple(row) for row in noted] == [(0, "[]"), (1, '["new"]')]
    registry.close()


def test_a_file_that_is_no_registry_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    file.write_bytes(b"this is not a database, but a text of some length" * 100)
    with pytest.raises(DataFolderError, match="no adtally registry"):
        SqlRegistry.open(file)


def test_several_openers_may_make_the_same_registry_at_once(tmp_path: Path) -> None:
    for attempt in range(3):
        file = tmp_path / f"registry{attempt}.db"
        with ThreadPoolExecutor(4) as threads:
            counts = list(threads.map(open_and_count, [file] * 4))
        assert counts == [0] * 4


def test_sqlite_commits_are_durable(tmp_path: Path) -> None:
    registry = SqlRegistry.open(tmp_path / "registry.db")
    with registry._database.transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    registry.close()


def test_no_message_or_text_holds_a_key(tmp_path: Path) -> None:
    registry = SqlRegistry.open(tmp_path / "registry.db")
    new = registry.create_key(None, 1)
    registry.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert new.key_id.encode() in stored
    assert new.key.encode() not in stored


def test_a_page_of_one_advertisers_ads_is_read_from_an_index(tmp_path: Path) -> None:
    registry = SqlRegistry.open(tmp_path / "registry.db")
    registry.upsert_ads([Ad("a", "acme", "https://a.example/")])
    with registry._database.transaction() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM ad WHERE advertiser_id = 'acme' AND ad_id > 'a' ORDER BY ad_id LIMIT 5"
        ).all()
    registry.close()
    assert [row[-1] for row in plan] == [
        "SEARCH ad USING INDEX ad_by_advertiser (advertiser_id=? AND ad_id>?)",
    ]


def test_statements_are_postgresql_where_the_database_is() -> None:
    dialect = PGDialect(paramstyle="format")  # type: ignore[no-untyped-call]
    insert = insert_statement(dialect, schema.ad, replace=True)
    assert "ON CONFLICT (ad_id) DO UPDATE SET advertiser_id = excluded.advertiser_id" in insert
    assert "ON CONFLICT DO NOTHING" in insert_statement(dialect, schema.campaign, replace=False)
    lookup = str(lookup_statement(dialect, schema.ad).compile(dialect=dialect))
    assert "json_array_elements_text(CAST(%s AS JSON))" in lookup
