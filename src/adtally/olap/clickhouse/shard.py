"""One server: a part of the advertisers, with all tables."""

from collections.abc import Mapping
from typing import Any, Final

from adtally.errors import ConfigError
from adtally.olap import migrations
from adtally.olap.clickhouse.connection import Connection, Login
from adtally.olap.clickhouse_sql import LIVE_COLUMNS, LIVE_INPUT, Parameter
from adtally.olap.final_tables import FinalTables, Statements
from adtally.olap.port import FINAL_COLUMNS

STATEMENT_S_MAX: Final = 600.0
"""How long a statement of the reconciler's may take, or one of a migration."""

_RECOUNTED: Final = "minute_recounted"
_RECOUNTED_TABLE: Final = """CREATE TABLE IF NOT EXISTS {database}.minute_recounted (
  advertiser_id String,
  campaign_id String,
  ad_id String,
  minute_s UInt32,
  device LowCardinality(String),
  outcome LowCardinality(String),
  clicks UInt64,
  users Array(String)
) ENGINE = MergeTree
ORDER BY (advertiser_id, ad_id, minute_s, device, outcome, campaign_id)"""
"""Takes the rows of a recount's files, which the server cannot read by itself, before they are staged."""

_SHARD_TABLE: Final = """CREATE TABLE IF NOT EXISTS {database}.shard (
  number UInt32,
  shards UInt32
) ENGINE = MergeTree
ORDER BY number"""
"""Which of how many this server was said to be: advertisers are found by it."""


class Shard(FinalTables):
    """The tables of one server. What it is asked by the reconciler is for one caller at a time."""

    def __init__(self, login: Login, database: str, memory_bytes_max: int, timeout_s: float) -> None:
        self.url = login.url
        self._login = login
        self._timeout_s = timeout_s
        self._ids = f"{database}-reconciler-"
        settings = {
            "max_memory_usage": memory_bytes_max,
            "max_query_size": 4 * 1024 * 1024,
            "output_format_json_quote_64bit_integers": 0,
        }
        self._callers = Connection(login, timeout_s, settings)
        reconciler = {
            **settings,
            "max_threads": 1,
            # Groups that do not fit go to disk; in memory the state of few users takes many times what it takes there.
            "max_bytes_before_external_group_by": memory_bytes_max // 8,
            "min_insert_block_size_rows": max(memory_bytes_max // 8192, 16_384),
        }
        super().__init__(Connection(login, STATEMENT_S_MAX, reconciler, keep=False, ids=self._ids), database)

    def run(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> list[list[Any]]:
        """Run a statement that may be repeated, from any thread. Raises StoreQueryError or StoreUnavailableError."""
        return self._callers.run(sql, parameters)

    def append_live(self, lines: bytes) -> None:
        """Merge encoded rows into the live table."""
        self._callers.insert(f"{self._database}.{LIVE_INPUT} ({', '.join(LIVE_COLUMNS)})", lines)

    def begin_staging(self) -> None:
        """Remove what is staged."""
        self._empty_staged()
        self._truncate(f"{self._database}.{_RECOUNTED}")

    def add_recounted(self, lines: bytes) -> None:
        """Bring rows of a recount, to be staged; several may do so at once."""
        self._loading().insert(f"{self._database}.{_RECOUNTED} ({', '.join(FINAL_COLUMNS)})", lines)

    def end_staging(self) -> None:
        """Stage what was brought."""
        self._stage_minutes(f"{self._database}.{_RECOUNTED}", {})
        self._connection.run(f"TRUNCATE TABLE {self._database}.{_RECOUNTED}")

    def migrate(self, number: int, shards: int) -> int:
        """Make the tables, and say that this is shard `number` of so many. Gives the schema's version.

        Raises DataFolderError if the schema is newer, ConfigError if the server was another shard before.
        """
        schema = self.for_schema()
        schema.run(f"CREATE DATABASE IF NOT EXISTS {self._database}")
        for table in (_SHARD_TABLE, _RECOUNTED_TABLE):
            schema.run(table.format(database=self._database))
        self._claim(number, shards)
        return migrations.migrate(schema, self._database, self.url)

    def for_schema(self) -> Statements:
        """Give what makes tables. Raises StoreUnavailableError."""
        setting = "allow_experimental_low_cardinality_type"
        # Old servers want it; those of today allow the type, and refuse a setting that they do not know.
        ((known,),) = self.run("SELECT count() FROM system.settings WHERE name = {name:String}", {"name": setting})
        return Connection(self._login, STATEMENT_S_MAX, {setting: 1} if known else {}, keep=False)

    def close(self) -> None:
        """Close all connections."""
        self._callers.close()

    def _claim(self, number: int, shards: int) -> None:
        table = f"{self._database}.shard"
        said = [(int(n), int(of)) for n, of in self.run(f"SELECT DISTINCT number, shards FROM {table}")]
        if not said:
            self.run(f"INSERT INTO {table} SELECT {int(number)}, {int(shards)}")
        elif said != [(number, shards)]:
            raise ConfigError(
                f"olap.urls: {self.url} stands at place {number} of {shards}, and its tables are those of place "
                f"{said[0][0]} of {said[0][1]}: keep the order; for another number of servers drop the database "
                f"{self._database} on all of them and rebuild"
            )

    def _truncate(self, table: str) -> None:
        # A caller that was killed, or did not wait for the end, leaves a statement that would fill what is emptied.
        self._callers.run(
            "KILL QUERY WHERE position(query_id, {ids:String}) = 1 SYNC FORMAT JSONCompact", {"ids": self._ids}
        )
        super()._truncate(table)

    def _loading(self) -> Connection:
        assert isinstance(self._connection, Connection)
        return self._connection
