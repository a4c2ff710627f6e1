"""Ads, campaigns and advertisers: what is registered, and changes to it."""

from io import BytesIO
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from adtally.errors import InvalidValueError
from adtally.registry.ad_files import read_ndjson
from adtally.registry.importing import Stored, store_batch
from adtally.registry.port import Ad, AdStatus, Advertiser, Campaign
from adtally.rowfiles import RowError
from adtally.serve.caller import Call
from adtally.serve.endpoint import Lines, NoBody
from adtally.serve.ranges import AdId, AdvertiserId
from adtally.serve.values import SearchText

IMPORT_LINES_MAX: Final = 10_000

After = Annotated[str, Meta(description="The `next` of the page before; nothing for the first page.")]
Limit = Annotated[int, Meta(ge=1, le=1_000)]


class AdsParams(msgspec.Struct, frozen=True):
    """Which page of ads or campaigns."""

    after: After = ""
    limit: Limit = 100
    advertiser_id: AdvertiserId | None = None


class AdListParams(AdsParams, frozen=True):
    """Which page of ads, of all or of those that match."""

    search: Annotated[
        SearchText,
        Meta(
            description="Ads whose id, name or campaign holds this; A to Z match a to z. A page may then hold fewer "
            "ads than `limit`, or none, before the last: go on while `next` is not null.",
            examples=["shoes"],
        ),
    ] = SearchText("")


class AdvertisersParams(msgspec.Struct, frozen=True):
    """Which page of advertisers."""

    after: After = ""
    limit: Limit = 100


class AdParams(msgspec.Struct, frozen=True):
    """Which ad."""

    ad_id: AdId


class NoParams(msgspec.Struct, frozen=True):
    """For an address without parameters."""


class AdsPage(msgspec.Struct, frozen=True):
    """Ads by id. `next` is what to send as `after` for the next page, null on the last one."""

    ads: list[Ad]
    next: str | None


class CampaignsPage(msgspec.Struct, frozen=True):
    """Campaigns by id."""

    campaigns: list[Campaign]
    next: str | None


class AdvertisersPage(msgspec.Struct, frozen=True):
    """Advertisers by id."""

    advertisers: list[Advertiser]
    next: str | None


class AdChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays."""

    name: str | UnsetType = UNSET
    status: AdStatus | UnsetType = UNSET
    landing_url: str | UnsetType = UNSET
    campaign_id: str | UnsetType = UNSET


def list_ads(call: Call[AdListParams, NoBody]) -> AdsPage:
    """Answer GET /v1/ads."""
    asked = call.params
    if asked.search:
        matching = call.services.registry.search_ads(_advertiser(call), asked.search, asked.after, asked.limit)
        return AdsPage(matching.ads, matching.next)
    found = call.services.registry.ads(_advertiser(call), asked.after, asked.limit + 1)
    return AdsPage(found[: asked.limit], found[asked.limit - 1].ad_id if len(found) > asked.limit else None)


def list_campaigns(call: Call[AdsParams, NoBody]) -> CampaignsPage:
    """Answer GET /v1/campaigns."""
    asked = call.params
    found = call.services.registry.campaigns(_advertiser(call), asked.after, asked.limit + 1)
    return CampaignsPage(found[: asked.limit], found[asked.limit - 1].campaign_id if len(found) > asked.limit else None)


def list_advertisers(call: Call[AdvertisersParams, NoBody]) -> AdvertisersPage:
    """Answer GET /v1/advertisers."""
    asked = call.params
    found = call.services.registry.advertisers(asked.after, asked.limit + 1)
    return AdvertisersPage(
        found[: asked.limit], found[asked.limit - 1].advertiser_id if len(found) > asked.limit else None
    )


def get_ad(call: Call[AdParams, NoBody]) -> Ad:
    """Answer GET /v1/ads/{ad_id}."""
    return call.caller.visible_ad(call.params.ad_id, call.services.registry)


def change_ad(call: Call[AdParams, AdChange]) -> Ad:
    """Answer PATCH /v1/ads/{ad_id}. Changes run one at a time, so none is lost between reading and writing."""
    registry = call.services.registry
    changes = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not UNSET}
    if not changes:
        raise InvalidValueError("body", f"changes nothing: give {', '.join(AdChange.__struct_fields__)}")
    ad = msgspec.structs.replace(call.caller.visible_ad(call.params.ad_id, registry), **changes)
    registry.upsert_ads([ad])
    return ad


def import_ads(call: Call[NoParams, Lines]) -> Stored:
    """Answer POST /v1/ads/import: lines with errors do not hold back the others."""
    ads: list[Ad] = []
    numbers: list[int] = []
    unreadable: list[RowError] = []
    for number, row in read_ndjson(BytesIO(call.body.raw)):
        if isinstance(row, str):
            unreadable.append(RowError(number, row))
        else:
            numbers.append(number)
            ads.append(row)
        if len(ads) + len(unreadable) > IMPORT_LINES_MAX:
            raise InvalidValueError("body", f"has more than {IMPORT_LINES_MAX:,} lines: send the rest by itself")
    stored = store_batch(call.services.registry, numbers, ads)
    errors = sorted([*unreadable, *stored.errors], key=lambda error: error.line)
    return msgspec.structs.replace(stored, errors=errors)


def _advertiser(call: Call[AdsParams, NoBody] | Call[AdListParams, NoBody]) -> str | None:
    """Give whose ads are to be listed, None for everybody's. Raises NotFoundError as `tenant_for` does."""
    asked = call.params.advertiser_id
    if call.caller.is_admin:
        return asked
    call.caller.tenant_for(asked, call.services.registry)
    return call.caller.advertiser_id
