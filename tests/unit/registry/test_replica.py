import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adtally.errors import DataFolderError
from adtally.registry.port import Ad, AdTarget
from adtally.registry.replica import SqliteAdReplica
from adtally.registry.sql import SqlRegistry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def registry(file: Path) -> Iterator[SqlRegistry]:
    opened = SqlRegistry.open(file)
    opened.upsert_ads([Ad("ad_1", "acme", "https://acme.example/", campaign_id="spring", status="paused")])
    yield opened
    opened.close()


@pytest.fixture
def replica(registry: SqlRegistry, file: Path) -> Iterator[SqliteAdReplica]:
    opened = SqliteAdReplica(file)
    yield opened
    opened.close()


def test_an_ad_is_found_with_what_an_edge_needs(replica: SqliteAdReplica) -> None:
    assert replica.find("ad_1") == AdTarget("spring", "acme", "https://acme.example/", "paused")


def test_an_unknown_ad_is_none(replica: SqliteAdReplica) -> None:
    assert replica.find("nope") is None
    assert replica.find("") is None


def test_a_change_is_seen_at_once_and_reported_once(replica: SqliteAdReplica, registry: SqlRegistry) -> None:
    assert replica.find("ad_1") is not None
    assert not replica.refresh()
    registry.upsert_ads([Ad("ad_1", "acme", "https://acme.example/new"), Ad("ad_2", "acme", "https://acme.example/2")])
    changed, new = replica.find("ad_1"), replica.find("ad_2")
    assert changed is not None
    assert changed.landing_url == "https://acme.example/new"
    assert new is not None
    assert replica.refresh()
    assert not replica.refresh()


def test_a_change_that_changes_no_ad_may_be_reported_but_does_no_harm(
    replica: SqliteAdReplica, registry: SqlRegistry
) -> None:
    registry.create_key(None, 1)
    replica.refresh()
    assert replica.find("ad_1") is not None


def test_ads_are_found_while_somebody_writes(replica: SqliteAdReplica, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE ad SET landing_url = 'https://not.yet/'")
        found = replica.find("ad_1")
        assert found is not None
        assert found.landing_url == "https://acme.example/"
        assert not replica.refresh()
        writer.execute("COMMIT")
    assert replica.refresh()


def test_a_look_up_does_not_keep_the_wal_from_being_emptied(replica: SqliteAdReplica, file: Path) -> None:
    assert replica.find("ad_1") is not None
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert replica.find("ad_1") is not None


def test_a_replica_cannot_write(replica: SqliteAdReplica) -> None:
    with pytest.raises(Exception, match="readonly"):
        replica._connection.execute("DELETE FROM ad")


def test_without_a_registry_there_is_no_replica(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="no adtally registry"):
        SqliteAdReplica(tmp_path / "registry.db")
    (tmp_path / "registry.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataFolderError, match="no adtally registry"):
        SqliteAdReplica(tmp_path / "registry.db")
