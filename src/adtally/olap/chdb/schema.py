"""Brings schema.sql into a chDB store, and what only chDB's engine understands."""

import re
from importlib import resources
from pathlib import Path
from typing import Final

from adtally.errors import DataFolderError
from adtally.olap.chdb.connection import Connection
from adtally.olap.clickhouse_sql import DATABASE

SCHEMA_VERSION: Final = 3

FINAL_TABLES: Final = ("minute_final", "quarter_hour_final", "day_final", "month_final")

_FINAL_SETTINGS: Final = (
    # Of what a row of one user takes, 17.2 bytes instead of 23.4 with the default, lz4; 8 of them are the user's hash.
    "default_compression_codec = 'ZSTD(3)', "
    # About what the index tells apart, for a question reads whole blocks: 5 % larger, and half the time.
    "min_compress_block_size = 8192, "
    # A published part is always the result of a merge; it and its folder are on disk when publishing returns.
    "min_rows_to_fsync_after_merge = 1, fsync_part_directory = 1"
)


def migrate(connection: Connection, path: Path) -> int:
    """Bring the schema to SCHEMA_VERSION, which it gives. Raises DataFolderError if the store is newer."""
    connection.run(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
    connection.run(
        f"CREATE TABLE IF NOT EXISTS {DATABASE}.migration (version UInt32, applied DateTime('UTC') DEFAULT now()) "
        "ENGINE = MergeTree ORDER BY version"
    )
    at = int(connection.run(f"SELECT max(version) FROM {DATABASE}.migration")[0][0])
    if at > SCHEMA_VERSION:
        raise DataFolderError(f"{path} has schema {at}, this adtally knows {SCHEMA_VERSION}: use a newer one")
    for version, statements in migrations().items():
        if version > at:
            for statement in statements:
                # A crash may have left the first statements of a migration done: they are done again.
                connection.run(_repeatable(statement))
            connection.run(f"INSERT INTO {DATABASE}.migration (version) VALUES ({version})")
    for table in FINAL_TABLES:
        for name in (table, f"{table}_staging"):
            connection.run(f"ALTER TABLE {DATABASE}.{name} MODIFY SETTING {_FINAL_SETTINGS}")
    return SCHEMA_VERSION


def migrations() -> dict[int, list[str]]:
    """Give the statements of each numbered migration of schema.sql."""
    text = resources.files("adtally.olap").joinpath("schema.sql").read_text(encoding="utf-8")
    found: dict[int, list[str]] = {}
    for part in re.split(r"^-- migration ", text, flags=re.MULTILINE)[1:]:
        number, _, body = part.partition(":")
        lines = [line for line in body.splitlines()[1:] if not line.startswith("--")]
        statements = "\n".join(lines).replace("{database}", DATABASE).split(";")
        found[int(number)] = [statement.strip() for statement in statements if statement.strip()]
    return found


def _repeatable(statement: str) -> str:
    made = re.sub(r"^CREATE (TABLE|MATERIALIZED VIEW) ", r"CREATE \1 IF NOT EXISTS ", statement)
    return re.sub(r"^DROP TABLE ", "DROP TABLE IF EXISTS ", made)
