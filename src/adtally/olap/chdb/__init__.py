"""The OLAP store inside this process: ClickHouse's engine as a library, on one folder that one process may open."""

from adtally.olap.chdb.store import ChdbStore

__all__ = ["ChdbStore"]
