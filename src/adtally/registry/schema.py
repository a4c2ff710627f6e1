"""The registry's tables as SQLAlchemy Core sees them, and the numbered migrations that make them."""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, select

from adtally.errors import DataFolderError

MIGRATIONS: Final = Path(__file__).with_name("migrations")

metadata: Final = MetaData()

advertiser: Final = Table(
    "advertiser", metadata, Column("advertiser_id", Text, primary_key=True), Column("name", Text, nullable=False)
)

campaign: Final = Table(
    "campaign",
    metadata,
    Column("campaign_id", Text, primary_key=True),
    Column("advertiser_id", Text, nullable=False),
    Column("name", Text, nullable=False),
)

ad: Final = Table(
    "ad",
    metadata,
    # In the order of registry.port.Ad, so that a row is the arguments of one.
    Column("ad_id", Text, primary_key=True),
    Column("advertiser_id", Text, nullable=False),
    Column("landing_url", Text, nullable=False),
    Column("campaign_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
)

api_key: Final = Table(
    "api_key",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("advertiser_id", Text),
    Column("prefix", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

schema_version: Final = Table("schema_version", MetaData(), Column("version", BigInteger, primary_key=True))


def migrate(connection: Connection, folder: Path = MIGRATIONS) -> int:
    """Bring the tables to the newest migration's number, which is given, inside the caller's transaction.

    Raises DataFolderError if the tables were made by a newer adtally.
    """
    known = {int(file.name.split("_")[0]): file for file in sorted(folder.glob("*.sql"))}
    newest = max(known)
    schema_version.create(connection, checkfirst=True)
    done = set(connection.scalars(select(schema_version.c.version)))
    if done and max(done) > newest:
        raise DataFolderError(
            f"the registry has version {max(done)}, this adtally works on version {newest}: "
            "use the adtally that wrote it, or a newer one"
        )
    for version in sorted(known.keys() - done):
        for statement in known[version].read_text(encoding="utf-8").split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        connection.execute(schema_version.insert(), {"version": version})
    return newest
