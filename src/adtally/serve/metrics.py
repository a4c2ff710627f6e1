"""GET /metrics: an ad's clicks and unique users, bucket by bucket."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adtally.buckets import Buckets, buckets
from adtally.counting import MINUTE_MS
from adtally.event import DEVICES
from adtally.olap.port import USERS_METHOD, USERS_STANDARD_ERROR, AggregateQuery
from adtally.serve.caller import Call
from adtally.serve.endpoint import Download, NoBody
from adtally.serve.finality import Status
from adtally.serve.ranges import UTC, AdId, End, Grain, Start, Zone, whole_minutes
from adtally.serve.reading import Reading, read_ledger
from adtally.serve.scope import Totals, totals_of
from adtally.serve.table_csv import csv_file
from adtally.serve.values import rfc3339
from adtally.utc import DAY_MS


class MetricsParams(msgspec.Struct, frozen=True):
    """What /metrics is asked."""

    ad_id: AdId
    start: Start
    end: End
    granularity: Grain = "minute"
    timezone: Zone = UTC
    group_by: Annotated[
        tuple[Literal["device"], ...],
        Meta(description="A row for each device in each bucket, those without clicks included."),
    ] = ()
    format: Literal["json", "csv"] = "json"


class MetricsRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One bucket, or one device's part of it. Its timestamp is where the bucket begins."""

    timestamp: str
    device: str | UnsetType = UNSET
    clicks: int
    unique_users: int
    status: Status
    revision: int
    """Rises each time that a correction changes final numbers; 0 before the first recount."""


class Metrics(msgspec.Struct, frozen=True):
    """An ad's numbers. Buckets without clicks are there, with 0, up to now.

    The first and the last bucket count only what lies inside the range.
    """

    ad_id: str
    metrics: list[MetricsRow]
    totals: Totals
    as_of: str | None
    """Everything that was clicked before is in these numbers, but for late arrivals; null before the first count."""
    final_through: str | None
    """Buckets that end by then are final; null if none are."""
    granularity: Grain
    timezone: str
    unique_users_method: str
    unique_users_error: float
    """Standard error of `unique_users`, relative; small numbers are exact."""


def get_metrics(call: Call[MetricsParams, NoBody]) -> Metrics | Download:
    """Answer GET /metrics."""
    asked = call.params
    tenant = call.caller.visible_ad(asked.ad_id, call.services.registry).advertiser_id
    span = whole_minutes(asked.start, asked.end, call.now_ms, asked.granularity, asked.timezone)
    found = buckets(span.start_ms, span.end_ms, asked.granularity, asked.timezone, call.now_ms)
    # Before the tables are read: what comes in meanwhile may be seen, but is not promised.
    as_of_ms = call.services.progress.as_of_ms
    reading = read_ledger(call)
    rows, whole = _rows(call, reading, found, tenant)
    answer = Metrics(
        ad_id=asked.ad_id,
        metrics=rows,
        totals=whole,
        as_of=None if as_of_ms is None else rfc3339(as_of_ms),
        final_through=reading.final_through,
        granularity=asked.granularity,
        timezone=asked.timezone.key,
        unique_users_method=USERS_METHOD,
        unique_users_error=USERS_STANDARD_ERROR,
    )
    return _as_csv(answer) if asked.format == "csv" else answer


def _rows(
    call: Call[MetricsParams, NoBody], reading: Reading, found: Buckets, tenant: str
) -> tuple[list[MetricsRow], Totals]:
    cells, whole = _cells(call, reading, found, tenant)
    devices: list[str | UnsetType] = [UNSET]
    if call.params.group_by:
        devices = [*DEVICES, *sorted({str(group[1]) for group in cells} - {*DEVICES})]
    stamps = timestamps(found, call.params.timezone)
    rows = []
    for index, (stamp, said) in enumerate(zip(stamps, reading.of_buckets(found.edges_ms), strict=True)):
        for device in devices:
            clicks, users = cells.get((index,) if device is UNSET else (index, device), (0, 0))
            row = MetricsRow(
                timestamp=stamp,
                device=device,
                clicks=clicks,
                unique_users=users,
                status=said.status,
                revision=said.revision,
            )
            rows.append(row)
    return rows, whole


def _cells(
    call: Call[MetricsParams, NoBody], reading: Reading, found: Buckets, tenant: str
) -> tuple[dict[tuple[str | int, ...], tuple[int, int]], Totals]:
    """Give clicks and users by bucket index and, if asked for, device; and those of the whole range."""
    if not found.starts_ms:
        return {}, Totals(0, 0)
    query = AggregateQuery(
        tenant=tenant,
        edges_ms=found.edges_ms,
        group_by=("bucket", *call.params.group_by),
        measures=("clicks", "users"),
        ad_ids=(call.params.ad_id,),
        outcomes=("counted",),
        sources=reading.sources_of_buckets(found, call.params.granularity, call.params.timezone),
        totals=True,
    )
    *rows, whole = call.services.reader.aggregate(query)
    return {row.group: (row.clicks, row.users) for row in rows}, totals_of(whole)


def timestamps(found: Buckets, zone: ZoneInfo) -> list[str]:
    """Give the beginnings of buckets, whole minutes, as they are written in answers."""
    if zone.key == "UTC":
        # A tenth of what a date for each of thousands takes.
        return [_day(start_ms // DAY_MS) + _TIMES[start_ms % DAY_MS // MINUTE_MS] for start_ms in found.starts_ms]
    return [rfc3339(start_ms, zone) for start_ms in found.starts_ms]


_TIMES: Final = tuple(f"T{minute // 60:02}:{minute % 60:02}:00Z" for minute in range(1_440))


@lru_cache(1_000)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


def _as_csv(answer: Metrics) -> Download:
    by_device = any(row.device is not UNSET for row in answer.metrics)
    header = ["ad_id", "timestamp", *(["device"] if by_device else []), "clicks", "unique_users", "status", "revision"]
    rows = (
        [
            answer.ad_id,
            row.timestamp,
            *([row.device] if isinstance(row.device, str) else []),
            row.clicks,
            row.unique_users,
            row.status,
            row.revision,
        ]
        for row in answer.metrics
    )
    return csv_file(f"metrics-{answer.ad_id}", header, rows)
