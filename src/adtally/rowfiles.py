"""Reads files row by row in bounded memory: CSV with a header, NDJSON, Parquet (design section 8, "Files").

What a row is, is the caller's matter; here a row is the text of its columns, or one line. A row that cannot be read is
given as its line number (for Parquet its row number, from 1) and what is wrong with it, and the rest goes on.
"""

import csv
import io
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

import msgspec

from adtally.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

LINE_BYTES_MAX: Final = 64 * 1024
"""Of a line of text: several times what a row with every field at its limit takes."""

BATCH_ROWS: Final = 10_000

FormatName = TypeVar("FormatName", bound=str)

TextRows = Generator[tuple[int, list[str] | str], None, None]
"""A line number, and the texts of all columns in their order (empty where there is none) or what is wrong with it.

To be closed before the file that it reads.
"""


class RowError(msgspec.Struct, frozen=True):
    """Why a row was not stored."""

    line: int
    reason: str


class Columns(msgspec.Struct, frozen=True):
    """The columns that a file may have, and those that it must have. `of` says of what they are, as in `an ad`."""

    of: str
    names: tuple[str, ...]
    required: tuple[str, ...]

    def check(self, present: Sequence[str]) -> None:
        """Raise UsageError unless a header names the required columns, no unknown one, and none twice."""
        missing = [column for column in self.required if column not in present]
        unknown = [repr(column) for column in present if column not in self.names]
        twice = [repr(column) for column in self.names if present.count(column) > 1]
        for what, names in (("lacks", missing), ("has the unknown", unknown), ("has twice", twice)):
            if names:
                columns = ", ".join(self.names)
                raise UsageError(f"the header {what} {', '.join(names)}: the columns of {self.of} are {columns}")


def format_of(file: Path, suffixes: Mapping[str, FormatName]) -> FormatName:
    """Give the format that a file's name promises. Raises UsageError."""
    found = suffixes.get(file.suffix.lower())
    if found is None:
        raise UsageError(f"{file}: its name ends in none of {', '.join(suffixes)}: say --format")
    return found


def read_csv(source: BinaryIO, columns: Columns) -> TextRows:
    """Read CSV (RFC 4180, UTF-8) whose first line names the columns. Raises UsageError for a wrong header.

    A byte order mark, as spreadsheets write it, is skipped, and so are empty lines. Bytes that are no UTF-8 become
    surrogates.
    """
    text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        reader = csv.reader(text, strict=True)
        header = [name.strip() for name in next(reader, [])]
        columns.check(header)
        # A column that is not there is read at index -1, behind the last field.
        order = [header.index(column) if column in header else -1 for column in columns.names]
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, _csv_reason(line, reader.line_num, error)
                continue
            if len(fields) == len(header):
                fields.append("")
                yield line, [fields[index] for index in order]
            elif fields:
                yield line, f"has {len(fields)} fields, the header has {len(header)}"
    finally:
        text.detach()


def read_lines(source: BinaryIO) -> Generator[tuple[int, bytes | str], None, None]:
    """Read lines; each is given as its bytes with the line end, or as what is wrong with it. Empty ones are skipped."""
    line = 0
    while content := source.readline(LINE_BYTES_MAX):
        line += 1
        if len(content) == LINE_BYTES_MAX and not content.endswith(b"\n"):
            while (content := source.readline(LINE_BYTES_MAX)) and not content.endswith(b"\n"):
                pass
            yield line, f"is longer than {LINE_BYTES_MAX} bytes"
        elif content.strip():
            yield line, content


def read_parquet(source: BinaryIO, columns: Columns) -> TextRows:
    """Read Parquet whose columns are text or anything that can be cast to it. Raises UsageError.

    A timestamp becomes its epoch milliseconds; one that belongs to no time zone is refused, since nobody can say when
    it was.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(source)
        present = list(table.schema_arrow.names)
        columns.check(present)
        row = 0
        for batch in table.iter_batches(BATCH_ROWS):
            texts = [
                _as_text(name, batch.column(present.index(name))) if name in present else [""] * batch.num_rows
                for name in columns.names
            ]
            for values in zip(*texts, strict=True):
                row += 1
                yield row, [value or "" for value in values]
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UsageError(f"no Parquet file with the columns of {columns.of}: {error}") from None


def _as_text(name: str, column: "pa.Array") -> list[str | None]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise UsageError(f"{name}: the timestamps have no time zone: write them as UTC")
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return texts


def _csv_reason(first_line: int, last_line: int, error: csv.Error) -> str:
    through = f" (in lines {first_line} to {last_line}, one field by its quotes)" if last_line > first_line else ""
    return f"no CSV: {error}{through}"
