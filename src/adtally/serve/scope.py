"""Whose clicks a question is about: the tenant, and the filters that narrow it further."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from adtally.errors import NotFoundError
from adtally.event import Device
from adtally.olap.port import AggregateQuery, AggregateRow, Dimension, Measure, Source
from adtally.serve.caller import Call
from adtally.serve.ranges import AdId, AdvertiserId
from adtally.serve.values import CampaignKey


class Totals(msgspec.Struct, frozen=True):
    """The whole range as one; `unique_users` is no sum of the buckets', a person counts once."""

    clicks: int
    unique_users: int


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters that addresses share: all that are given must hold."""

    ad_id: AdId | None = None
    campaign_id: (
        Annotated[
            CampaignKey,
            Meta(description="An empty one means the ads without a campaign.", examples=["spring"]),
        ]
        | None
    ) = None
    device: Annotated[tuple[Device, ...], Meta(description="Separated by commas.")] = ()
    advertiser_id: AdvertiserId | None = None


class Scope(msgspec.Struct, frozen=True):
    """What `Filters` mean for one caller. Queries are made here, so that none goes without its tenant."""

    tenant: str | object
    ad_ids: tuple[str, ...] = ()
    campaign_ids: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()

    def counted(
        self,
        edges_ms: tuple[int, ...],
        sources: tuple[Source, ...],
        group_by: tuple[Dimension, ...] = (),
        *,
        totals: bool = False,
    ) -> AggregateQuery:
        """Give the query for the clicks and users of these buckets, by these groups, and as a whole if asked for."""
        return AggregateQuery(
            tenant=self.tenant,
            edges_ms=edges_ms,
            group_by=group_by,
            measures=_CLICKS_AND_USERS,
            ad_ids=self.ad_ids,
            campaign_ids=self.campaign_ids,
            devices=self.devices,
            outcomes=("counted",),
            sources=sources,
            totals=totals,
        )


_CLICKS_AND_USERS: tuple[Measure, ...] = ("clicks", "users")


def scope_of(call: Call[Any, Any], asked: Filters) -> Scope:
    """Give what a question is about. Asks the registry.

    Raises NotFoundError for an ad or advertiser that is unknown, and in the same words for one that is not the
    caller's. A campaign is only a filter: another advertiser's finds as little as one that does not exist.
    """
    registry = call.services.registry
    tenant = call.caller.tenant_for(asked.advertiser_id, registry)
    if asked.ad_id is not None:
        of_ad = call.caller.visible_ad(asked.ad_id, registry).advertiser_id
        if asked.advertiser_id not in (None, of_ad):
            raise NotFoundError(f"no ad {asked.ad_id!r} of advertiser {asked.advertiser_id!r}")
        tenant = of_ad
    return Scope(
        tenant,
        () if asked.ad_id is None else (asked.ad_id,),
        () if asked.campaign_id is None else (asked.campaign_id,),
        asked.device,
    )


def totals_of(whole: AggregateRow) -> Totals:
    """Give a whole range's clicks and users. Users are an estimate where they are many, but never more than clicks."""
    return Totals(whole.clicks, min(whole.clicks, whole.users))
