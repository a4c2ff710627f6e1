"""The registry's tables as SQLAlchemy Core sees them, and the numbered migrations that make them."""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, MetaData, Table, Text

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
    Column("scope", Text, nullable=False),
    Column("expires_ms", BigInteger),
    Column("used_ms", BigInteger),
)

change: Final = Table(
    "change",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("token", Text, nullable=False),
    Column("ids", Text, nullable=False),
)

session: Final = Table(
    "session",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
)
