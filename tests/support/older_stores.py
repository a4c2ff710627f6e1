"""Stores as earlier versions left them: made by the first migrations alone, with the rows that they could hold."""

import re
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from adtally.olap import migrations
from adtally.olap.chdb.connection import Connections
from adtally.olap.clickhouse_sql import TABLES

Rows = dict[str, list[tuple[object, ...]]]


def tables(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    return [row[0] for row in found]


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def content(file: Path) -> Rows:
    """Give all tables' rows, and the names of their columns as the first one."""
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: [tuple(columns(connection, table)), *sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)]
            for table in tables(connection)
        }


def age(file: Path, folder: Path, number: int) -> None:
    """Take a database of SQL migrations back to migration `number`: what only later ones can hold is gone."""
    now = file.with_name(file.name + ".now")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    file.rename(now)
    with closing(sqlite3.connect(file, isolation_level=None)) as old:
        old.execute("CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY)")
        for path in sorted(folder.glob("*.sql")):
            version = int(path.name.split("_")[0])
            if version <= number:
                old.executescript(path.read_text(encoding="utf-8"))
                old.execute("INSERT INTO schema_version VALUES (?)", (version,))
        old.execute("ATTACH ? AS now", (str(now),))
        for table in set(tables(old)) - {"schema_version"}:
            names = ", ".join(f'"{name}"' for name in columns(old, table))
            # What a migration puts into its new tables is not taken from the newer database twice.
            old.execute(f"INSERT OR REPLACE INTO {table} ({names}) SELECT {names} FROM now.{table}")
        if file.name == "ledger.db":
            old.execute("DELETE FROM latest WHERE name = 'reconcile request'")
        old.execute("DETACH now")
    now.unlink()


def age_letters(file: Path) -> None:
    """Take dead letters back to before they knew of replays."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("ALTER TABLE dead_letter DROP COLUMN replayed_ms")
        connection.execute("PRAGMA user_version = 0")


OLD_ROWS: Final = {2: ("minute_final", "minute", 3600), 3: ("day_final", "time", 86_400)}
"""By migration, the tables whose rows were moved since, their time, and its step."""


def old_rows(time: str, step_s: int, rows: int) -> str:
    """Give the end of an INSERT of rows with 1, 2, ... clicks and two users each."""
    return (
        f"(advertiser_id, ad_id, {time}, device, outcome, campaign_id, clicks, users) SELECT 'acme', "
        f"concat('ad_', toString(number)), toDateTime(1700000000 + number * {step_s}), 'mobile', 'counted', '', "
        f"number + 1, arrayReduce('uniqCombinedState(17)', [toString(number), 'u']) FROM numbers({rows})"
    )


def make_old_olap(path: Path, number: int, rows: int = 0) -> None:
    """Make a store of schema `number`, with rows in each of OLD_ROWS. One process can open one chDB only."""
    shutil.rmtree(path, ignore_errors=True)
    connections = Connections(path, 1 << 30)
    connection = connections.connect()
    connection.run("CREATE DATABASE adtally ENGINE = Atomic")
    connection.run(
        "CREATE TABLE adtally.migration (version UInt32, applied DateTime('UTC') DEFAULT now()) "
        "ENGINE = MergeTree ORDER BY version"
    )
    for version, statements in migrations.migrations("adtally").items():
        if version <= number:
            _run(connection.run, statements)
            connection.run(f"INSERT INTO adtally.migration (version) SELECT {version}")
    for version, (table, time, step_s) in OLD_ROWS.items():
        if rows and version <= number:
            connection.run(f"INSERT INTO adtally.{table} {old_rows(time, step_s, rows)}")
    connections.close()


def olap_rows(path: Path) -> list[list[object]]:
    """Give the rows of the tables that OLD_ROWS went to."""
    connections = Connections(path, 1 << 30)
    connection = connections.connect()
    found = [
        connection.run(
            f"SELECT count(), uniqExact(ad_id), sum(clicks), sum(finalizeAggregation(users)), "
            f"sum(toUInt32({table.time})) FROM adtally.{table.name}"
        )[0]
        for table in (TABLES["minute"], TABLES["day"])
    ]
    connections.close()
    return found


def olap_shape(path: Path) -> list[list[object]]:
    """Give what tables a store has, and with which columns. One process can open one chDB only."""
    connections = Connections(path, 1 << 30)
    sql = "SELECT name, create_table_query FROM system.tables WHERE database = 'adtally' ORDER BY name"
    found = connections.connect().run(sql)
    versions = connections.connect().run("SELECT DISTINCT version FROM adtally.migration ORDER BY version")
    connections.close()
    return [[name, re.sub(r"UUID '[^']*'", "", str(query))] for name, query in found] + versions


def _run(run: object, statements: Iterable[str]) -> None:
    assert callable(run)
    for statement in statements:
        run(statement)


if __name__ == "__main__":
    import sys

    if sys.argv[1] == "make":
        make_old_olap(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    elif sys.argv[1] == "rows":
        print(olap_rows(Path(sys.argv[2])))
    else:
        print(olap_shape(Path(sys.argv[2])))
