"""GET /v1/series: the clicks of many ads at once, for tools."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adtally.buckets import buckets
from adtally.errors import InvalidValueError
from adtally.olap.port import AggregateRow
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody, Streamed
from adtally.serve.export import Export, Group, export, filled
from adtally.serve.finality import BucketFinality, Status
from adtally.serve.metrics import timestamps
from adtally.serve.ranges import UTC, End, Grain, Start, Zone, whole_minutes
from adtally.serve.reading import read_ledger
from adtally.serve.scope import Filters, Totals, scope_of, totals_of
from adtally.serve.values import rfc3339

ROWS_MAX: Final = 1_000_000
CHUNK_ROWS: Final = 1_000
"""Encoded in one go: about half a millisecond in which no other thread runs."""


class SeriesParams(Filters, frozen=True):
    """What /v1/series is asked."""

    start: Start
    end: End
    granularity: Grain = "minute"
    timezone: Zone = UTC
    group_by: Annotated[
        tuple[Group, ...], Meta(description="Separated by commas; a row for each combination that has clicks.")
    ] = ()
    fill: Annotated[
        bool, Meta(description="Give buckets without clicks too, with 0, up to now. Not together with `group_by`.")
    ] = False
    format: Annotated[
        Literal["json", "csv", "parquet"], Meta(description="Files have no limits of rows and buckets.")
    ] = "json"


class SeriesRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One bucket of one group. Only the fields that were asked for in `group_by` are there."""

    timestamp: str
    advertiser_id: str | UnsetType = UNSET
    campaign_id: str | UnsetType = UNSET
    ad_id: str | UnsetType = UNSET
    device: str | UnsetType = UNSET
    clicks: int
    unique_users: int
    status: Status
    revision: int


class Series(msgspec.Struct, frozen=True):
    """Rows by time and then by group. What has no clicks is absent, unless `fill` was asked for."""

    as_of: str | None
    final_through: str | None
    totals: Totals
    series: list[SeriesRow]


def get_series(call: Call[SeriesParams, NoBody]) -> Streamed:
    """Answer GET /v1/series."""
    asked = call.params
    if asked.fill and asked.group_by:
        raise InvalidValueError("fill", "cannot be given together with group_by")
    scope = scope_of(call, asked)
    span = whole_minutes(asked.start, asked.end, call.now_ms, asked.granularity, asked.timezone)
    if asked.format != "json":
        reading, grain = read_ledger(call), asked.granularity
        what = Export(scope, reading, span, grain, asked.timezone, asked.group_by, asked.fill)
        return export(call, what, asked.format)
    found = buckets(span.start_ms, span.end_ms, asked.granularity, asked.timezone, call.now_ms)
    as_of_ms = call.services.progress.as_of_ms
    reading = read_ledger(call)
    rows: Sequence[AggregateRow] = ()
    totals = Totals(0, 0)
    if found.starts_ms:
        sources = reading.sources_of_buckets(found, asked.granularity, asked.timezone)
        every = scope.counted(found.edges_ms, sources, ("bucket", *asked.group_by), totals=True)
        *rows, whole = call.services.reader.aggregate(msgspec.structs.replace(every, limit=ROWS_MAX + 1))
        totals = totals_of(whole)
    if len(rows) > ROWS_MAX:
        raise InvalidValueError("end", f"the answer has more than {ROWS_MAX:,} rows: ask for less time at once")
    if asked.fill:
        rows = filled(rows, len(found.starts_ms))
    stamps = timestamps(found, asked.timezone)
    said = list(zip(stamps, reading.of_buckets(found.edges_ms), strict=True))
    head = Series(None if as_of_ms is None else rfc3339(as_of_ms), reading.final_through, totals, [])
    return Streamed(_chunks(head, rows, said, asked.group_by))


def _chunks(
    head: Series, rows: Sequence[AggregateRow], said: list[tuple[str, BucketFinality]], group_by: tuple[Group, ...]
) -> Iterator[bytes]:
    """Give `head` with `rows` in pieces of CHUNK_ROWS; `said` is each bucket's timestamp and finality."""
    encode = msgspec.json.Encoder().encode
    yield encode(head).removesuffix(b"]}")
    for begin in range(0, len(rows), CHUNK_ROWS):
        part = [
            SeriesRow(
                timestamp=said[int(row.group[0])][0],
                clicks=row.clicks,
                unique_users=row.users,
                status=said[int(row.group[0])][1].status,
                revision=said[int(row.group[0])][1].revision,
                **dict(zip(group_by, map(str, row.group[1:]), strict=True)),
            )
            for row in rows[begin : begin + CHUNK_ROWS]
        ]
        yield (b"," if begin else b"") + encode(part)[1:-1]
    yield b"]}"
