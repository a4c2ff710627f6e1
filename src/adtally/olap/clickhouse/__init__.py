"""The OLAP store on ClickHouse servers, one for each shard, over HTTP."""

from adtally.olap.clickhouse.store import ClickHouseStore

__all__ = ["ClickHouseStore"]
