"""Brings schema.sql into a store of ClickHouse's family."""

import re
from importlib import resources
from typing import Final

from adtally.errors import DataFolderError
from adtally.faultpoint import reach
from adtally.olap.final_tables import Statements

SCHEMA_VERSION: Final = 4


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
            connection.run(f"INSERT INTO {database}.migration (version) SELECT {version}")
    return SCHEMA_VERSION


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
