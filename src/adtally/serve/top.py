"""GET /v1/top: the ads or campaigns with the most clicks or users."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adtally.olap.port import AggregateQuery, Dimension, Measure
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.finality import Status
from adtally.serve.ranges import End, Start, whole_minutes
from adtally.serve.reading import read_ledger
from adtally.serve.values import rfc3339

Things = Literal["ads", "campaigns"]

_DIMENSIONS: Final[dict[Things, Dimension]] = {"ads": "ad_id", "campaigns": "campaign_id"}


class TopParams(msgspec.Struct, frozen=True):
    """What /v1/top is asked."""

    start: Start
    end: End
    by: Measure = "clicks"
    of: Things = "ads"
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 10


class TopRow(msgspec.Struct, frozen=True, kw_only=True):
    """One ad, or one campaign; the empty campaign is that of ads without one."""

    ad_id: str | UnsetType = UNSET
    campaign_id: str | UnsetType = UNSET
    clicks: int
    unique_users: int


class Top(msgspec.Struct, frozen=True):
    """The first `limit`, most first; among equals by id."""

    top: list[TopRow]
    as_of: str | None
    final_through: str | None
    status: Status
    revision: int


def get_top(call: Call[TopParams, NoBody]) -> Top:
    """Answer GET /v1/top."""
    asked = call.params
    span = whole_minutes(asked.start, asked.end, call.now_ms)
    as_of_ms = call.services.progress.as_of_ms
    reading = read_ledger(call)
    edges_ms = (span.start_ms, span.end_ms)
    dimension = _DIMENSIONS[asked.of]
    query = AggregateQuery(
        tenant=call.caller.tenant,
        edges_ms=edges_ms,
        group_by=(dimension,),
        measures=("clicks", "users"),
        outcomes=("counted",),
        order=asked.by,
        limit=asked.limit,
        sources=reading.sources(edges_ms),
    )
    rows = [
        TopRow(clicks=row.clicks, unique_users=row.users, **{dimension: str(row.group[0])})
        for row in call.services.reader.aggregate(query)
    ]
    (said,) = reading.of_buckets(edges_ms)
    as_of = None if as_of_ms is None else rfc3339(as_of_ms)
    return Top(rows, as_of, reading.final_through, said.status, said.revision)
