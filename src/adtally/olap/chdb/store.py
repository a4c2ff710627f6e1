"""The store itself: live rows in, answers out, and the reconciler's calls handed on to the final tables."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from adtally.olap.chdb import schema
from adtally.olap.chdb.connection import Connection, Connections
from adtally.olap.chdb.final import ChdbFinalTables, reconciler_settings
from adtally.olap.clickhouse_sql import (
    DATABASE,
    LIVE_COLUMNS,
    LIVE_INPUT,
    Parameter,
    answer_rows,
    compile_query,
    is_small,
)
from adtally.olap.port import AggregateQuery, AggregateRow, LiveRows

_SMALL: Final = " SETTINGS enable_multiple_prewhere_read_steps = 0, max_threads_for_indexes = 1"
"""Of a few blocks: to filter by one column after the other, or to look for them in several threads, costs more."""


class ChdbStore(ChdbFinalTables):
    """Implements OlapWriter, OlapReader and OlapAdmin.

    Live rows, the reconciler's statements and each reading thread have connections of their own, for a connection
    serialises its callers, and a staged hour may take a minute.
    """

    def __init__(self, path: Path, memory_bytes_max: int) -> None:
        self._path = path
        self._connections = Connections(path, memory_bytes_max)
        self._local = threading.local()
        self._live = self._connections.connect()
        super().__init__(self._connections.connect(reconciler_settings(memory_bytes_max)))

    def migrate(self) -> int:
        """Bring the schema to this version's number, which it gives. Raises DataFolderError if the store is newer."""
        return schema.migrate(self._live, self._path)

    def ping(self) -> None:
        """Return if the store answers."""
        self._live.run("SELECT 1")

    def lost_parts(self) -> int:
        """Give how many parts of the final tables were damaged when the store was opened: their rows are not there."""
        return schema.lost_parts(self._live)

    def forget_lost_parts(self) -> None:
        """Remove what is left of lost parts: only right once the final tables are what the ledger says."""
        schema.forget_lost_parts(self._live)

    def append_live(self, rows: LiveRows) -> None:
        """Merge rows into the live table."""
        if len(rows):
            self._live.insert(f"{DATABASE}.{LIVE_INPUT} ({', '.join(LIVE_COLUMNS)})", msgspec.structs.astuple(rows))

    def drop_live_before(self, ts_ms: int) -> None:
        """Drop whole hours of the live table that end at or before `ts_ms`."""
        self.drop_before("live", ts_ms)

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        """Answer a query from the tables that it names."""
        statement = compile_query(query)
        sql = statement.sql + (_SMALL if is_small(query) else "")
        return answer_rows(query, self._reader().run(sql, statement.parameters))

    def close(self) -> None:
        """Close all connections; other threads must have finished."""
        self._connections.close()

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connections.connect()
        return connection

    def _run(self, sql: str, parameters: dict[str, Parameter] | None = None) -> list[list[Any]]:
        """Run any statement: for tests that look behind the port."""
        return self._live.run(sql, parameters)
