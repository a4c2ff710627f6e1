"""Connections to chDB: statements with parameters, rows as lists, errors of our own tree.

A connection serialises its callers, and different ones do not wait for each other: each thread that reads has one of
its own, the live rows another, the reconciler's long statements a third.
"""

import fcntl
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import chdb
import msgspec

from adtally.errors import DataFolderError, StoreQueryError, StoreUnavailableError
from adtally.olap.clickhouse_sql import Parameter

QUERY_THREADS_MAX: Final = 8
"""Of one statement. The engine keeps the threads that many statements at once have needed, with three files each."""

_HELD_HERE: Final = re.compile(r"already (open|initialized)", re.IGNORECASE)
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


class _Answer(msgspec.Struct):
    data: list[list[Any]]
    totals: list[Any] | None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


class Connection:
    """One connection, whose callers wait for each other."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - chdb is not typed
        self._raw = raw

    def run(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> list[list[Any]]:
        """Run a statement and give its rows, and totals as the last of them.

        Raises StoreQueryError or StoreUnavailableError.
        """
        escaped = {name: _escaped(value) for name, value in (parameters or {}).items()}
        try:
            answer = bytes(self._raw.query(sql, "JSONCompact", params=escaped).bytes())
        except Exception as error:
            raise _translated(error) from error
        if not answer.startswith(b"{"):
            # No rows: what the statement was none for, or totals of no groups, which chDB writes as broken JSON.
            return []
        found = _decode(answer)
        return found.data if found.totals is None else [*found.data, found.totals]

    def insert(self, target: str, columns: tuple[list[Any], ...]) -> None:
        """Insert rows, a list per column. Raises StoreQueryError or StoreUnavailableError."""
        # As data behind the statement, which is not parsed as SQL. As fast as an Arrow table, for whose sake chDB would
        # import pandas at the first insert: 2 s.
        data = msgspec.json.encode(columns).decode()
        try:
            self._raw.query(f"INSERT INTO {target} FORMAT JSONCompactColumns {data}", "Null")
        except Exception as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Close; nobody may be waiting."""
        self._raw.close()


class Connections:
    """All connections to one folder. Thread-safe."""

    def __init__(self, path: Path, memory_bytes_max: int) -> None:
        self._path = path
        self._memory_bytes_max = memory_bytes_max
        self._lock = threading.Lock()
        self._open: list[Connection] = []

    def connect(self, settings: Mapping[str, int] | None = None) -> Connection:
        """Open a connection. Raises DataFolderError if another process has the folder, or StoreUnavailableError."""
        every = {
            "max_memory_usage": self._memory_bytes_max,
            # A stream that catches up with days of a quiet log delivers many hours at once; 100 would be the limit.
            "max_partitions_per_insert_block": 0,
        }
        try:
            raw = chdb.connect(str(self._path))
            # As many as the engine itself would take, which knows the processors of a container, but no more.
            threads = int(bytes(raw.query("SELECT getSetting('max_threads')", "TSV").bytes()))
            every["max_threads"] = min(threads, QUERY_THREADS_MAX)
            for name, value in {**every, **(settings or {})}.items():
                raw.query(f"SET {name} = {int(value)}")
        except Exception as error:
            if _HELD_HERE.search(str(error)) or _is_held(self._path):
                raise DataFolderError(
                    f"{self._path} is open in another process, and chDB allows one: stop the `adtally up` that runs "
                    "on this folder, or ask it through its API"
                ) from error
            raise StoreUnavailableError(
                f"{self._path}: the store does not open: if its files are damaged, `adtally rebuild` makes it anew "
                f"({error})"
            ) from error
        connection = Connection(raw)
        with self._lock:
            self._open.append(connection)
        return connection

    def close(self) -> None:
        """Close all connections; other threads must have finished."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()


def _is_held(path: Path) -> bool:
    """Tell whether another process has the folder: the engine says no more than that it cannot begin."""
    try:
        descriptor = os.open(path / "status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _escaped(value: Parameter) -> Parameter:
    """Give a parameter as ClickHouse reads it: a string in the escaped form of its tab-separated format."""
    return value.translate(_ESCAPES) if isinstance(value, str) else value


def _translated(error: Exception) -> StoreQueryError | StoreUnavailableError:
    """Tell a defect of ours (syntax, unknown names, types) from a store that cannot answer now (memory, disk)."""
    text = str(error)
    if re.search(r"\((SYNTAX_ERROR|UNKNOWN_[A-Z_]+|TYPE_MISMATCH|ILLEGAL_[A-Z_]+|BAD_ARGUMENTS)\)", text):
        return StoreQueryError(text)
    return StoreUnavailableError(text)
