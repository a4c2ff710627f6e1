"""Brings schema.sql into a store of ClickHouse's family."""

import re
import secrets
from collections.abc import Mapping
from importlib import resources
from typing import Final

from adtally.errors import DataFolderError, StoreUnavailableError
from adtally.faultpoint import reach
from adtally.olap.cells import partition_end, partition_of
from adtally.olap.clickhouse_sql import TABLES, Parameter
from adtally.olap.final_tables import Statements, between, columns_of, partition_literal, partition_starts
from adtally.olap.port import Grain

SCHEMA_VERSION: Final = 6

_MOVED: Final[Mapping[int, Mapping[Grain, str]]] = {5: {"minute": "minute_final", "day": "day_final"}}
"""By migration, tables whose rows go to those of today when its statements are done."""

_COPY: Final = "_copy_"
_TRIES: Final = 20
_BLOCKS: Final = "max_block_size = 65536, min_insert_block_size_rows = 262144"
"""In memory the state of few users takes a hundred times what it takes on disk."""


def migrate(connection: Statements, database: str, where: str) -> int:
    """Bring a database that is there to SCHEMA_VERSION, which it gives.

    `where` is how messages call the store. Raises DataFolderError if the store is newer.
    """
    connection.run(
        f"CREATE TABLE IF NOT EXISTS {database}.migration (version UInt32, applied DateTime('UTC') DEFAULT now()) "
        "ENGINE = MergeTree ORDER BY version"
    )
    at = int(connection.run(f"SELECT max(version) FROM {database}.migration")[0][0])
    if at > SCHEMA_VERSION:
        raise DataFolderError(
            f"the store {where} has schema {at}, this adtally works on schema {SCHEMA_VERSION}: use the adtally that "
            "wrote it, or a newer one, or make the store anew (docs/upgrading.md)"
        )
    for version, statements in migrations(database).items():
        if version > at:
            for statement in statements:
                # A crash may have left the first statements of a migration done: they are done again.
                connection.run(_repeatable(statement))
                reach("olap.migration_statement")
            for grain, old in _MOVED.get(version, {}).items():
                _move(connection, database, where, grain, old)
            connection.run(f"INSERT INTO {database}.migration (version) SELECT {version}")
    if at < SCHEMA_VERSION:
        # Of who died over it. Another process that still copies fails, and finds that all was done.
        for name in _tables(connection, database, f"%{_COPY}%"):
            connection.run(f"DROP TABLE IF EXISTS {database}.{name}")
    return SCHEMA_VERSION


def _move(connection: Statements, database: str, where: str, grain: Grain, old: str) -> None:
    """Put all rows of a table into the grain's, partition by partition; to be repeated, and beside other processes.

    One that is slow may put an hour back that another process's reconciler has published meanwhile: its daily look at
    the sums in the ledger finds that. Raises StoreUnavailableError if others always come between.
    """
    table, columns = TABLES[grain].name, columns_of(grain)
    if not _tables(connection, database, old):
        return
    starts_ms = sorted({partition_of(grain, start_ms) for start_ms in partition_starts(connection, database, old)})
    copy = f"{database}.{table}{_COPY}{secrets.token_hex(8)}"
    # Staging tables have no replicas.
    connection.run(f"CREATE TABLE {copy} AS {database}.{table}_staging")
    for start_ms in starts_ms:
        partition = partition_literal(grain, start_ms)
        connection.run(f"TRUNCATE TABLE {copy}")
        within = f"WHERE {between(grain)}"
        bounds: dict[str, Parameter] = {"from_s": start_ms // 1000, "to_s": partition_end(grain, start_ms) // 1000}
        connection.run(
            f"INSERT INTO {copy} ({columns}) SELECT {columns} FROM {database}.{old} {within} SETTINGS {_BLOCKS}", bounds
        )
        reach("olap.migration_statement")
        connection.run(f"OPTIMIZE TABLE {copy} PARTITION {partition} FINAL")
        rows = connection.run(f"SELECT count() FROM {copy}")
        for _ in range(_TRIES):
            connection.run(f"ALTER TABLE {database}.{table} REPLACE PARTITION {partition} FROM {copy}")
            # Of two processes that replace it at the same instant, server 18.16 keeps the rows of both.
            if connection.run(f"SELECT count() FROM {database}.{table} {within}", bounds) == rows:
                break
        else:
            raise StoreUnavailableError(f"{where}: other processes keep moving {old}: start again")
        reach("olap.migration_statement")
    connection.run(f"DROP TABLE {copy}")


def _tables(connection: Statements, database: str, like: str) -> list[str]:
    found = connection.run(
        "SELECT name FROM system.tables WHERE database = {database:String} AND name LIKE {like:String}",
        {"database": database, "like": like},
    )
    return [name for (name,) in found]


def migrations(database: str) -> dict[int, list[str]]:
    """Give the statements of each numbered migration of schema.sql."""
    text = resources.files("adtally.olap").joinpath("schema.sql").read_text(encoding="utf-8")
    found: dict[int, list[str]] = {}
    for part in re.split(r"^-- migration ", text, flags=re.MULTILINE)[1:]:
        number, _, body = part.partition(":")
        lines = [line for line in body.splitlines()[1:] if not line.startswith("--")]
        statements = "\n".join(lines).replace("{database}", database).split(";")
        found[int(number)] = [statement.strip() for statement in statements if statement.strip()]
    return found


def _repeatable(statement: str) -> str:
    made = re.sub(r"^CREATE (TABLE|MATERIALIZED VIEW) ", r"CREATE \1 IF NOT EXISTS ", statement)
    return re.sub(r"^DROP TABLE ", "DROP TABLE IF EXISTS ", made)
