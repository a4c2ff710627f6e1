"""Who asks, and what they may see."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from adtally.errors import NotFoundError
from adtally.olap.port import EVERYONE
from adtally.registry.port import Ad, Registry
from adtally.serve.services import Services
from adtally.serve.sessions import Peer, Sessions
from adtally.serve.standing import LedgerWatch

Params = TypeVar("Params")
Body = TypeVar("Body")


class Caller(msgspec.Struct, frozen=True):
    """The owner of a valid key. `advertiser_id` is None for an admin, who sees everything."""

    key_id: str
    advertiser_id: str | None

    @property
    def is_admin(self) -> bool:
        """Tell whether the key is an admin's."""
        return self.advertiser_id is None

    @property
    def tenant(self) -> str | object:
        """Give what goes into every query: the advertiser's id, or EVERYONE."""
        return EVERYONE if self.advertiser_id is None else self.advertiser_id

    def tenant_for(self, advertiser_id: str | None, registry: Registry) -> str | object:
        """Give the tenant of a query about one advertiser, or about all that the caller sees where None.

        Raises NotFoundError for an unknown advertiser, and in the same words for one that is not the caller.
        """
        if advertiser_id is None:
            return self.tenant
        # Advertisers come into being with their ads, so one that is known has some.
        known = bool(registry.ads(advertiser_id, "", 1)) if self.is_admin else advertiser_id == self.advertiser_id
        if not known:
            raise NotFoundError(f"no advertiser {advertiser_id!r}")
        return advertiser_id

    def visible_ad(self, ad_id: str, registry: Registry) -> Ad:
        """Give an ad. Raises NotFoundError for an unknown one, and in the same words for another advertiser's.

        Its advertiser is the tenant of queries about it, an admin's too: the store's key begins with the advertiser.
        """
        try:
            ad = registry.ad(ad_id)
        except NotFoundError:
            ad = None
        if ad is None or not (self.is_admin or ad.advertiser_id == self.advertiser_id):
            raise NotFoundError(f"no ad {ad_id!r}")
        return ad


NOBODY: Final = Caller("", "")
"""Who has not said who they are: no advertiser has the empty id, so they see nothing."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Params, Body]):
    """One request, checked and typed, as a handler gets it."""

    services: Services
    watch: LedgerWatch
    caller: Caller
    params: Params
    body: Body
    now_ms: int
    peer: Peer
    sessions: Sessions
    head: bool = False
    """Only the header fields are wanted: what is long need not be made."""
