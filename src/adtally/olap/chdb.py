"""The OLAP store inside this process: ClickHouse's engine as a library, on one folder that one process may open."""

import re
import threading
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import chdb
import msgspec

from adtally.errors import DataFolderError, StoreQueryError, StoreUnavailableError
from adtally.olap.clickhouse_sql import DATABASE, Parameter, Statement, compile_live
from adtally.olap.port import AggregateQuery, AggregateRow, FinalRows, LiveRows

SCHEMA_VERSION: Final = 2

_HELD_ELSEWHERE: Final = re.compile(r"Code: (76|36)\.|already (open|initialized)|Cannot lock file", re.IGNORECASE)
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_decode_rows = msgspec.json.Decoder(list[Any]).decode_lines

_LIVE_COLUMNS: Final = "advertiser_id, campaign_id, ad_id, minute, device, outcome, shard, clicks, users"
_FINAL_COLUMNS: Final = "advertiser_id, campaign_id, ad_id, minute, device, outcome, clicks, users"


class ChdbStore:
    """Implements OlapWriter, OlapReader and OlapAdmin.

    A connection serialises its callers, so each thread that reads has one of its own, and the writer another.
    """

    def __init__(self, path: Path, memory_bytes_max: int) -> None:
        self._path = path
        self._memory_bytes_max = memory_bytes_max
        self._local = threading.local()
        self._connections: list[Any] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._writer = self._connect()

    def migrate(self) -> int:
        """Bring the schema to SCHEMA_VERSION. Raises DataFolderError if the store is newer."""
        self._run(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        self._run(
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.migration (version UInt32, applied DateTime('UTC') DEFAULT now()) "
            "ENGINE = MergeTree ORDER BY version"
        )
        at = int(_rows(self._run(f"SELECT max(version) FROM {DATABASE}.migration"))[0][0])
        if at > SCHEMA_VERSION:
            raise DataFolderError(f"{self._path} has schema {at}, this adtally knows {SCHEMA_VERSION}: use a newer one")
        for version, statements in migrations().items():
            if version > at:
                for statement in statements:
                    # A crash may have left the first statements of a migration done: they are done again.
                    self._run(_repeatable(statement))
                self._run(f"INSERT INTO {DATABASE}.migration (version) VALUES ({version})")
        return SCHEMA_VERSION

    def ping(self) -> None:
        """Return if the store answers."""
        self._run("SELECT 1")

    def append_live(self, rows: LiveRows) -> None:
        """Merge rows into the live table."""
        if len(rows):
            with self._writing:
                _insert(self._writer, f"{DATABASE}.minute_live_input ({_LIVE_COLUMNS})", rows)

    def drop_live_before(self, ts_ms: int) -> None:
        """Drop whole hours of the live table that end at or before `ts_ms`."""
        partitions = _rows(
            self._run(
                "SELECT DISTINCT partition FROM system.parts WHERE database = {database:String} "
                "AND table = 'minute_live' AND active AND toUnixTimestamp(toDateTime(partition, 'UTC')) + 3600 <= "
                "{before_s:UInt32} ORDER BY partition",
                {"database": DATABASE, "before_s": ts_ms // 1000},
            )
        )
        for (partition,) in partitions:
            self._run(f"ALTER TABLE {DATABASE}.minute_live DROP PARTITION {_partition_literal(partition)}")

    def replace_final_hour(self, hour_ms: int, rows: FinalRows) -> None:
        """Put `rows` in the place of the final minutes of an hour, atomically."""
        hour = _partition_literal(
            _rows(self._run("SELECT toString(toDateTime({s:UInt32}, 'UTC'))", {"s": hour_ms // 1000}))[0][0]
        )
        with self._writing:
            self._run(f"TRUNCATE TABLE {DATABASE}.minute_final_staging")
            if len(rows) == 0:
                # REPLACE PARTITION from an empty table is refused.
                self._run(f"ALTER TABLE {DATABASE}.minute_final DROP PARTITION {hour}")
                return
            _insert(self._writer, f"{DATABASE}.minute_final_input ({_FINAL_COLUMNS})", rows)
            self._run(f"OPTIMIZE TABLE {DATABASE}.minute_final_staging PARTITION {hour} FINAL")
            self._run(
                f"ALTER TABLE {DATABASE}.minute_final REPLACE PARTITION {hour} FROM {DATABASE}.minute_final_staging"
            )

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        """Answer a query from the live minutes."""
        statement = compile_live(query)
        rows = _rows(self._read(statement))
        width = len(query.group_by)
        users = "users" in query.measures
        buckets = [dimension == "bucket" for dimension in query.group_by]
        answer = []
        for row in rows:
            group = tuple(int(v) if is_bucket else v for v, is_bucket in zip(row[:width], buckets, strict=True))
            answer.append(AggregateRow(group, int(row[width]), int(row[width + 1]) if users else 0))
        return answer

    def close(self) -> None:
        """Close all connections; other threads must have finished."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def _connect(self) -> Any:  # noqa: ANN401 - chdb is not typed
        try:
            connection = chdb.connect(str(self._path))
            connection.query(f"SET max_memory_usage = {int(self._memory_bytes_max)}")
            # A stream that catches up with days of a quiet log delivers many hours at once; 100 would be the limit.
            connection.query("SET max_partitions_per_insert_block = 0")
        except Exception as error:
            if _HELD_ELSEWHERE.search(str(error)):
                raise DataFolderError(
                    f"{self._path} is open in another process, and chDB allows one: stop the `adtally up` that runs "
                    "on this folder, or ask it through its API"
                ) from error
            raise StoreUnavailableError(f"{self._path}: the store does not open: {error}") from error
        with self._lock:
            self._connections.append(connection)
        return connection

    def _read(self, statement: Statement) -> bytes:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return _query(connection, statement.sql, statement.parameters)

    def _run(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> bytes:
        return _query(self._writer, sql, parameters or {})


def migrations() -> dict[int, list[str]]:
    """Give the statements of each numbered migration of schema.sql."""
    text = resources.files("adtally.olap").joinpath("schema.sql").read_text(encoding="utf-8")
    found: dict[int, list[str]] = {}
    for part in re.split(r"^-- migration ", text, flags=re.MULTILINE)[1:]:
        number, _, body = part.partition(":")
        lines = [line for line in body.splitlines()[1:] if not line.startswith("--")]
        statements = "\n".join(lines).replace("{database}", DATABASE).split(";")
        found[int(number)] = [statement.strip() for statement in statements if statement.strip()]
    return found


def _repeatable(statement: str) -> str:
    return re.sub(r"^CREATE (TABLE|MATERIALIZED VIEW) ", r"CREATE \1 IF NOT EXISTS ", statement)


def _partition_literal(value: str) -> str:
    """Give a partition's value as SQL, for ALTER takes no parameters; only digits and separators are let through."""
    if not re.fullmatch(r"[0-9 :\-]+", value):
        raise StoreQueryError(f"{value!r} is no partition")
    return f"'{value}'"


def _query(connection: Any, sql: str, parameters: Mapping[str, Parameter]) -> bytes:  # noqa: ANN401 - chdb is not typed
    try:
        return bytes(
            connection.query(sql, "JSONCompactEachRow", params={k: _escaped(v) for k, v in parameters.items()}).bytes()
        )
    except Exception as error:
        raise _translated(error) from error


def _insert(connection: Any, target: str, rows: LiveRows | FinalRows) -> None:  # noqa: ANN401 - chdb is not typed
    # As data behind the statement, which is not parsed as SQL. As fast as an Arrow table, for whose sake chDB would
    # import pandas at the first insert: 2 s.
    data = msgspec.json.encode(msgspec.structs.astuple(rows)).decode()
    try:
        connection.query(f"INSERT INTO {target} FORMAT JSONCompactColumns {data}", "Null")
    except Exception as error:
        raise _translated(error) from error


def _escaped(value: Parameter) -> Parameter:
    """Give a parameter as ClickHouse reads it: a string in the escaped form of its tab-separated format."""
    return value.translate(_ESCAPES) if isinstance(value, str) else value


def _translated(error: Exception) -> StoreQueryError | StoreUnavailableError:
    """Tell a defect of ours (syntax, unknown names, types) from a store that cannot answer now (memory, disk)."""
    text = str(error)
    if re.search(r"\((SYNTAX_ERROR|UNKNOWN_[A-Z_]+|TYPE_MISMATCH|ILLEGAL_[A-Z_]+|BAD_ARGUMENTS)\)", text):
        return StoreQueryError(text)
    return StoreUnavailableError(text)


def _rows(raw: bytes) -> list[list[Any]]:
    return _decode_rows(raw)
