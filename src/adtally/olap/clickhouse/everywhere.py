"""Distributed tables: what all shards hold, seen as one table, for questions about all advertisers.

They stand in a database of their own under the tables' names, so that one compiler of queries serves both. The servers'
configuration names each other as the cluster `adtally` (remote_servers).
"""

from collections.abc import Sequence
from typing import Final

from adtally.errors import ConfigError, StoreUnavailableError
from adtally.olap.clickhouse.shard import Shard
from adtally.olap.clickhouse_sql import TABLES

CLUSTER: Final = "adtally"


def name_of(database: str) -> str:
    """Give the database of the Distributed tables over another one's."""
    return f"{database}_everywhere"


def declare(shards: Sequence[Shard], database: str) -> None:
    """Make the tables on each server, and ask them: each must reach all others.

    Raises ConfigError if the servers' configuration means other servers than ours, or StoreUnavailableError.
    """
    everywhere = name_of(database)
    for shard in shards:
        schema = shard.for_schema()
        schema.run(f"CREATE DATABASE IF NOT EXISTS {everywhere}")
        for table in ("shard", *(named.name for named in TABLES.values())):
            schema.run(
                f"CREATE TABLE IF NOT EXISTS {everywhere}.{table} AS {database}.{table} "
                f"ENGINE = Distributed({CLUSTER}, {database}, {table})"
            )
    for shard in shards:
        try:
            # A cluster of as many shards that reaches them all reaches none twice.
            ((listed,),) = shard.run(
                "SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = {cluster:String}",
                {"cluster": CLUSTER},
            )
            found = sorted(number for (number,) in shard.run(f"SELECT DISTINCT number FROM {everywhere}.shard"))
        except StoreUnavailableError as error:
            raise StoreUnavailableError(
                f"{shard.url} does not reach the shards of the cluster {CLUSTER!r} in its remote_servers: {error}"
            ) from error
        if found != list(range(len(shards))) or listed != len(shards):
            raise ConfigError(
                f"olap.urls: the cluster {CLUSTER!r} in remote_servers of {shard.url} reaches the shards {found} at "
                f"{listed} addresses, and not each of our {len(shards)} at one"
            )
