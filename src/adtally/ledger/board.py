"""Reports of streams in the ledger's database: SQLite for one machine, PostgreSQL for many."""

from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import case, delete, select

from adtally.ledger import schema
from adtally.sqldb import SqlDatabase, dialect_insert
from adtally.stream.port import ShardReport, StreamReport

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(StreamReport).decode


class SqlReportBoard:
    """Implements stream.port.ReportBoard. Thread-safe; other processes may have the same database open."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, place: Path | str) -> "SqlReportBoard":
        """Open the ledger's SQLite file or database URL; see SqlDatabase.open."""
        return cls(SqlDatabase.open(place, "ledger", schema.MIGRATIONS))

    def note(self, report: StreamReport) -> None:
        """Note for each shard that the report has a position of; see the port."""
        text = _encode(report).decode()
        # In one order: two streams that by mistake count the same shards must not wait for each other.
        rows = [{"shard": shard, "as_of_ms": report.as_of_ms, "report": text} for shard in sorted(report.positions)]
        if not rows:
            return
        table = schema.stream_report
        statement = dialect_insert(self._database.dialect, table)
        known, told = table.c.as_of_ms, statement.excluded
        greatest = case((told.as_of_ms > known, told.as_of_ms), else_=known)
        statement = statement.on_conflict_do_update(
            index_elements=[table.c.shard], set_={"as_of_ms": greatest, "report": told.report}
        )
        with self._database.transaction(write=True) as connection:
            connection.execute(statement, rows)

    def reports(self) -> list[ShardReport]:
        """Give what is known, by shard."""
        rows = self._database.rows(select(schema.stream_report))
        return sorted((ShardReport(shard, as_of_ms, _decode(text)) for shard, as_of_ms, text in rows), key=_shard)

    def forget(self) -> None:
        """Forget all: for when the live table was emptied."""
        with self._database.transaction(write=True) as connection:
            connection.execute(delete(schema.stream_report))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()


def _shard(report: ShardReport) -> str:
    return report.shard
