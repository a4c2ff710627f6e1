"""GET /v1/top: the ads, campaigns, devices or advertisers with the most clicks or users."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adtally.olap.port import Dimension, Measure
from adtally.serve.auth import ForbiddenError
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.finality import Status
from adtally.serve.ranges import End, Start, whole_minutes
from adtally.serve.reading import read_ledger
from adtally.serve.scope import Filters, scope_of
from adtally.serve.values import rfc3339

Things = Literal["ads", "campaigns", "devices", "advertisers"]

_DIMENSIONS: Final[dict[Things, Dimension]] = {
    "ads": "ad_id",
    "campaigns": "campaign_id",
    "devices": "device",
    "advertisers": "advertiser_id",
}


class TopParams(Filters, frozen=True):
    """What /v1/top is asked."""

    start: Start
    end: End
    by: Measure = "clicks"
    of: Annotated[Things, Meta(description="Advertisers are for admins.")] = "ads"
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 10


class TopRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of what was asked `of`; the empty campaign is that of ads without one."""

    ad_id: str | UnsetType = UNSET
    campaign_id: str | UnsetType = UNSET
    device: str | UnsetType = UNSET
    advertiser_id: str | UnsetType = UNSET
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
    if asked.of == "advertisers" and not call.caller.is_admin:
        raise ForbiddenError("of=advertisers needs an admin's key")
    scope = scope_of(call, asked)
    span = whole_minutes(asked.start, asked.end, call.now_ms)
    as_of_ms = call.services.progress.as_of_ms
    reading = read_ledger(call)
    edges_ms = (span.start_ms, span.end_ms)
    dimension = _DIMENSIONS[asked.of]
    every = scope.counted(edges_ms, reading.sources(edges_ms), (dimension,))
    query = msgspec.structs.replace(every, order=asked.by, limit=asked.limit)
    rows = [
        TopRow(clicks=row.clicks, unique_users=row.users, **{dimension: str(row.group[0])})
        for row in call.services.reader.aggregate(query)
    ]
    (said,) = reading.of_buckets(edges_ms)
    as_of = None if as_of_ms is None else rfc3339(as_of_ms)
    return Top(rows, as_of, reading.final_through, said.status, said.revision)
