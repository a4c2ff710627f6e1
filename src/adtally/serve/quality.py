"""GET /v1/quality: what became of every event."""

from typing import Annotated

import msgspec
from msgspec import Meta

from adtally.event import VERDICTS
from adtally.olap.port import AggregateQuery
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.finality import Status
from adtally.serve.ranges import End, Start, whole_minutes
from adtally.serve.reading import read_ledger
from adtally.serve.scope import Filters, scope_of
from adtally.serve.values import rfc3339


class QualityParams(Filters, frozen=True):
    """What /v1/quality is asked: about everything that the key sees, or what the filters leave of it."""

    start: Start
    end: End


class Quality(msgspec.Struct, frozen=True):
    """Every event has one outcome: `received` is `counted` and `duplicate` and the sum of `invalid`."""

    received: int
    counted: int
    duplicate: int
    invalid: Annotated[dict[str, int], Meta(description="By reason: head, prefetch, bot, paused_ad.")]
    as_of: str | None
    final_through: str | None
    status: Status
    revision: int


def get_quality(call: Call[QualityParams, NoBody]) -> Quality:
    """Answer GET /v1/quality."""
    asked = call.params
    scope = scope_of(call, asked)
    span = whole_minutes(asked.start, asked.end, call.now_ms)
    as_of_ms = call.services.progress.as_of_ms
    reading = read_ledger(call)
    edges_ms = (span.start_ms, span.end_ms)
    query = AggregateQuery(
        tenant=scope.tenant,
        edges_ms=edges_ms,
        group_by=("outcome",),
        ad_ids=scope.ad_ids,
        campaign_ids=scope.campaign_ids,
        devices=scope.devices,
        sources=reading.sources(edges_ms),
    )
    found = {str(row.group[0]): row.clicks for row in call.services.reader.aggregate(query)}
    received = sum(found.values())
    counted, duplicate = found.pop("counted", 0), found.pop("duplicate", 0)
    invalid = {verdict: 0 for verdict in VERDICTS if verdict != "ok"} | found
    (said,) = reading.of_buckets(edges_ms)
    as_of = None if as_of_ms is None else rfc3339(as_of_ms)
    return Quality(received, counted, duplicate, invalid, as_of, reading.final_through, said.status, said.revision)
