"""The final tables in chDB, which reads the files of a recount by itself."""

from collections.abc import Sequence
from typing import Final

from adtally.errors import InvalidValueError
from adtally.olap.clickhouse_sql import DATABASE
from adtally.olap.final_tables import FinalTables, Statements
from adtally.olap.port import FINAL_COLUMNS

_FILE_TYPES: Final = ("String", "String", "String", "Int64", "String", "String", "UInt64", "Array(String)")
_FILE_STRUCTURE: Final = ", ".join(f"{name} {of}" for name, of in zip(FINAL_COLUMNS, _FILE_TYPES, strict=True))
_PATTERN: Final = frozenset("*?{}")
"""What file() would take for a pattern."""


def reconciler_settings(memory_bytes_max: int) -> dict[str, int]:
    """Give the settings of a connection whose statements are long, may be slow, and must not take all memory.

    With them an hour of 4.2 million events (2.4 million cells) goes through in 512 MiB; with the defaults in 4 GiB.
    """
    return {
        # The other processors are for live rows and for who waits for an answer.
        "max_threads": 1,
        # Groups that do not fit go to disk; where the rows come in the groups' order, few are held at all.
        "max_bytes_before_external_group_by": memory_bytes_max // 8,
        "optimize_aggregation_in_order": 1,
        "input_format_parquet_memory_high_watermark": memory_bytes_max // 8,
        "input_format_parquet_memory_low_watermark": memory_bytes_max // 32,
        # In memory the state of few users takes a hundred times what it takes on disk.
        "min_insert_block_size_rows": max(memory_bytes_max // 8192, 16_384),
        "optimize_throw_if_noop": 1,
    }


class ChdbFinalTables(FinalTables):
    """Implements the part of OlapWriter that the reconciler calls."""

    def __init__(self, connection: Statements) -> None:
        super().__init__(connection, DATABASE)

    def stage(self, files: Sequence[str]) -> None:
        """Put recounted minutes in the place of what was staged before. Raises InvalidValueError for an odd path."""
        for file in files:
            if _PATTERN & set(file) or "::" in file:
                raise InvalidValueError(
                    "files", f"{file!r} would be read as a pattern: use a folder without * ? {{ }} ::"
                )
        self._empty_staged()
        if not files:
            return
        names = ", ".join(f"{{file_{index}:String}}" for index in range(len(files)))
        self._stage_minutes(
            f"file([{names}], Parquet, '{_FILE_STRUCTURE}')",
            {f"file_{index}": file for index, file in enumerate(files)},
        )
