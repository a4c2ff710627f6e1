"""A series as a file, row by row: as long as it is, in bounded memory."""

import io
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from adtally.buckets import Buckets, Granularity, windows
from adtally.olap.port import AggregateRow
from adtally.serve.caller import Call
from adtally.serve.endpoint import Streamed
from adtally.serve.finality import BucketFinality
from adtally.serve.ranges import Range
from adtally.serve.reading import Reading
from adtally.serve.scope import Scope
from adtally.serve.table_csv import MEDIA_TYPE as CSV_MEDIA_TYPE
from adtally.serve.table_csv import csv_lines
from adtally.serve.values import rfc3339

WINDOW_BUCKETS: Final = 1_000
PAGE_ROWS: Final = 20_000
PARQUET_MEDIA_TYPE: Final = "application/vnd.apache.parquet"

FileFormat = Literal["csv", "parquet"]
Group = Literal["advertiser_id", "campaign_id", "ad_id", "device"]


class Export(msgspec.Struct, frozen=True):
    """What is to be written, and from what."""

    scope: Scope
    reading: Reading
    span: Range
    granularity: Granularity
    zone: ZoneInfo
    group_by: tuple[Group, ...]
    fill: bool

    def windows(self) -> Iterator[Buckets]:
        """Give the range in stretches of WINDOW_BUCKETS buckets."""
        span = self.span
        return windows(span.start_ms, span.end_ms, self.granularity, self.zone, self.reading.now_ms, WINDOW_BUCKETS)


class Row(msgspec.Struct, frozen=True):
    """One line of the file."""

    begin_ms: int
    group: tuple[str | int, ...]
    clicks: int
    users: int
    said: BucketFinality


def export(call: Call[Any, Any], what: Export, file_format: FileFormat) -> Streamed:
    """Give the file, or an empty one for HEAD: nothing is read for it.

    Raises NoLongerKeptError and StoreUnavailableError before its first byte.
    """
    for window in what.windows():
        what.reading.sources_of_buckets(window, what.granularity, what.zone)
    pages = _pages(call, what)
    media_type = CSV_MEDIA_TYPE if file_format == "csv" else PARQUET_MEDIA_TYPE
    name = f"series.{file_format}"
    if call.head:
        return Streamed(iter(()), media_type, name)
    chunks = _as_csv(what, pages) if file_format == "csv" else _as_parquet(what, pages)
    # Made now: what the store refuses can still be told.
    first = next(chunks)
    return Streamed(chain([first], chunks), media_type, name)


def _pages(call: Call[Any, Any], what: Export) -> Iterator[list[Row]]:
    for window in what.windows():
        said = what.reading.of_buckets(window.edges_ms)
        for first, rows in _found(call, what, window):
            if what.fill:
                rows = filled(rows, len(window.starts_ms))
            places = ((first + int(row.group[0]), row) for row in rows)
            yield [
                Row(window.starts_ms[place], row.group[1:], row.clicks, row.users, said[place]) for place, row in places
            ]


def _found(call: Call[Any, Any], what: Export, window: Buckets) -> Iterator[tuple[int, Sequence[AggregateRow]]]:
    """Give the rows of a window, by PAGE_ROWS of them: where their buckets are counted from, and the rows."""
    aggregate, at = call.services.reader.aggregate, 0
    while at < len(window.starts_ms):
        rest = Buckets(window.starts_ms[at:], window.edges_ms[at:])
        sources = what.reading.sources_of_buckets(rest, what.granularity, what.zone)
        query = what.scope.counted(rest.edges_ms, sources, ("bucket", *what.group_by))
        rows = aggregate(msgspec.structs.replace(query, limit=PAGE_ROWS))
        if len(rows) < PAGE_ROWS:
            yield at, rows
            return
        # The last bucket may be cut off: the next page begins with it, or goes through it alone, group by group.
        last = int(rows[-1].group[0])
        if last > 0:
            yield at, [row for row in rows if row.group[0] != last]
            at += last
            continue
        edges_ms = rest.edges_ms[:2]
        one = what.scope.counted(edges_ms, what.reading.sources(edges_ms), what.group_by)
        after: tuple[str, ...] = ()
        while rows := aggregate(msgspec.structs.replace(one, limit=PAGE_ROWS, after=after)):
            yield at, [AggregateRow((0, *row.group), row.clicks, row.users) for row in rows]
            if len(rows) < PAGE_ROWS or not what.group_by:
                break
            after = tuple(map(str, rows[-1].group))
        at += 1


def filled(rows: Iterable[AggregateRow], number: int) -> list[AggregateRow]:
    """Give a row for each of `number` buckets, with 0 where there is none; for rows without groups."""
    by_bucket = {row.group: row for row in rows}
    return [by_bucket.get((index,), AggregateRow((index,), 0, 0)) for index in range(number)]


def _as_csv(what: Export, pages: Iterator[list[Row]]) -> Iterator[bytes]:
    header = [["timestamp", *what.group_by, "clicks", "unique_users", "status", "revision"]]
    first = next(pages, [])
    yield csv_lines(header) + _csv_page(what, first)
    for page in pages:
        if page:
            yield _csv_page(what, page)


def _csv_page(what: Export, page: list[Row]) -> bytes:
    return csv_lines(
        [rfc3339(row.begin_ms, what.zone), *row.group, row.clicks, row.users, row.said.status, row.said.revision]
        for row in page
    )


def _as_parquet(what: Export, pages: Iterator[list[Row]]) -> Iterator[bytes]:
    schema = pa.schema(
        [("timestamp", pa.timestamp("ms", tz="UTC"))]
        + [(name, pa.string()) for name in what.group_by]
        + [("clicks", pa.int64()), ("unique_users", pa.int64()), ("status", pa.string()), ("revision", pa.int64())]
    )
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for page in pages:
            if page:
                writer.write_table(_table(what, schema, page))
                yield sink.taken()
    yield sink.taken()


def _table(what: Export, schema: pa.Schema, page: list[Row]) -> pa.Table:
    columns: list[list[Any]] = [[row.begin_ms for row in page]]
    columns += [[row.group[index] for row in page] for index in range(len(what.group_by))]
    columns += [
        [row.clicks for row in page],
        [row.users for row in page],
        [row.said.status for row in page],
        [row.said.revision for row in page],
    ]
    arrays = [_column(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(values: Sequence[Any], of: pa.DataType) -> pa.Array:
    """Give texts or 64-bit numbers as a column. pa.array would import pandas at its first call: 1 to 3 s."""
    if not pa.types.is_string(of):
        return pa.Array.from_buffers(of, len(values), [None, pa.py_buffer(array("q", values))])
    texts = [value.encode() for value in values]
    ends = array("i", accumulate(map(len, texts), initial=0))
    return pa.Array.from_buffers(of, len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))])


class _Sink(io.RawIOBase):
    """Holds what was written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever has the buffer protocol
        piece = bytes(data)
        self._pieces.append(piece)
        self._written += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
