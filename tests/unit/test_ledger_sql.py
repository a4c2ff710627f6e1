"""The ledger's file, and its statements for databases that no test runs on yet."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects.postgresql.base import PGDialect

from adtally.errors import DataFolderError
from adtally.ledger import schema
from adtally.ledger.sql import SqlLedger
from adtally.ledger.statements import mark_statement, newest_marks_statement
from adtally.sqldb import replace_statement
from support.ledger_lines import HOUR_MS, cell, line


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    SqlLedger.open(file).close()
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("INSERT INTO schema_version VALUES (9999)")
    with pytest.raises(DataFolderError, match="the ledger has version 9999"):
        SqlLedger.open(file)


def test_the_tables_have_the_columns_that_the_code_knows(tmp_path: Path) -> None:
    SqlLedger.open(tmp_path / "ledger.db").close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as raw:
        for table in schema.metadata.tables.values():
            columns = raw.execute(f"PRAGMA table_info({table.name})").fetchall()
            assert [column[1] for column in columns] == [column.name for column in table.columns]
            keys = [name for _, name in sorted((column[5], column[1]) for column in columns if column[5])]
            assert keys == [column.name for column in table.primary_key]


def test_a_line_that_cannot_be_written_whole_is_not_written_at_all(tmp_path: Path) -> None:
    ledger = SqlLedger.open(tmp_path / "ledger.db")
    ledger.write(line(0))
    with ledger._database.transaction(write=True) as connection:
        connection.exec_driver_sql("DROP TABLE changed")
    with pytest.raises(Exception, match="changed"):
        ledger.write(line(HOUR_MS), changed=[cell(1)])
    assert (ledger.last_commit(), ledger.line(HOUR_MS)) == (1, None)
    ledger.close()


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ('SELECT max("commit") FROM line WHERE hour_ms >= 1 AND hour_ms < 9 GROUP BY hour_ms', "line_by_hour"),
        ("SELECT min(hour_ms) FROM line", "line_by_hour"),
        ("SELECT edge_id, max(last_seq) FROM hour_edge WHERE edge_id IN ('a') AND hour_ms < 9 GROUP BY edge_id",
         "hour_edge_by_edge"),
        ("SELECT * FROM mark WHERE hour_ms = 9 ORDER BY edge_id", "mark_by_hour"),
    ],
)  # fmt: skip
def test_what_is_asked_often_is_found_by_an_index(tmp_path: Path, sql: str, index: str) -> None:
    ledger = SqlLedger.open(tmp_path / "ledger.db")
    with ledger._database.transaction() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all())
    ledger.close()
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_statements_are_postgresql_where_the_database_is() -> None:
    dialect = PGDialect(paramstyle="format")  # type: ignore[no-untyped-call]
    noted = str(mark_statement(dialect).compile(dialect=dialect))
    assert "ON CONFLICT (edge_id, hour_ms) DO UPDATE SET" in noted
    assert "CASE WHEN (excluded.last_seq > mark.last_seq) THEN excluded.last_seq ELSE mark.last_seq END" in noted
    newest = str(newest_marks_statement(dialect).compile(dialect=dialect))
    assert "json_array_elements_text(CAST(%s AS JSON))" in newest
    assert "mark.hour_ms < %s" in newest
    span = str(replace_statement(dialect, schema.span).compile(dialect=dialect))
    assert "ON CONFLICT (grain, start_ms) DO UPDATE SET row_count = excluded.row_count" in span
