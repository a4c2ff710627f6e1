"""The registry's port: advertisers, campaigns, ads and API keys (design section 5)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from adtally.errors import ConflictError

AdStatus = Literal["active", "paused", "archived"]
Scope = Literal["read", "admin"]
"""What a key may do: read one advertiser's numbers, or everything."""


class Ad(msgspec.Struct, frozen=True, gc=False):
    """One ad as operators see it. Ids are 1 to 128 bytes of UTF-8 without control characters."""

    ad_id: str
    advertiser_id: str
    landing_url: str
    campaign_id: str = ""
    name: str = ""
    status: AdStatus = "active"


class AdTarget(msgspec.Struct, frozen=True, gc=False):
    """What an edge needs to know of an ad for one click."""

    campaign_id: str
    advertiser_id: str
    landing_url: str
    status: AdStatus


class Advertiser(msgspec.Struct, frozen=True):
    """Whoever pays for ads, and reads their numbers."""

    advertiser_id: str
    name: str


class Campaign(msgspec.Struct, frozen=True):
    """A group of one advertiser's ads."""

    campaign_id: str
    advertiser_id: str
    name: str


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is listed: never the secret. `advertiser_id` is None for the admin's keys, which see all."""

    key_id: str
    advertiser_id: str | None
    prefix: str
    """The first characters of the key, enough to recognise it, useless to guess it."""
    created_ms: int
    revoked_ms: int | None = None
    scope: Scope = "read"
    expires_ms: int | None = None
    """From then on the key opens nothing; None for one that lasts until it is revoked."""
    used_ms: int | None = None
    """When it was last used, give or take a minute; None if never."""


class NewKey(msgspec.Struct, frozen=True):
    """A key at the only moment when its secret is known."""

    key: str
    key_id: str
    advertiser_id: str | None
    scope: Scope
    expires_ms: int | None

    def __repr__(self) -> str:
        """Give a text without the secret, for logs and stack traces."""
        return f"NewKey(key_id={self.key_id!r})"


class UpsertResult(msgspec.Struct, frozen=True):
    """How many ads of a batch were new, changed, and the same as before."""

    created: int
    changed: int
    unchanged: int


class FoundAds(msgspec.Struct, frozen=True):
    """Ads that a search found, by ad_id. `next` is what to search behind for the rest, None at the end."""

    ads: list[Ad]
    next: str | None


class RefusedAd(msgspec.Struct, frozen=True):
    """Why the ad at `index` (from 0) of a batch cannot be stored."""

    index: int
    reason: str


class RefusedAdsError(ConflictError):
    """Ads of a batch contradict what is stored; all of them are named, so that the rest can be given again."""

    def __init__(self, refused: Sequence[RefusedAd]) -> None:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        super().__init__(refused[0].reason + more)
        self.refused = tuple(refused)


class OpenSession(msgspec.Struct, frozen=True):
    """A sign-in session of the page: of its token only the hash is known."""

    token_hash: str
    """SHA-256 of the token, 64 hex digits."""
    key_id: str
    """Of the key that it was opened with."""
    ends_ms: int


class FeedPlace(msgspec.Struct, frozen=True):
    """A place in the registry's feed of changes: a number that only grows, and what tells it from another feed's."""

    number: int
    token: str


class Changes(msgspec.Struct, frozen=True):
    """Ads that were changed behind a place, as they are now, and the place up to which these are all."""

    ads: list[Ad]
    place: FeedPlace


class Registry(Protocol):
    """The operators' side. Calls block, and may come from any thread; each is one transaction."""

    def upsert_ads(self, ads: Sequence[Ad]) -> UpsertResult:
        """Store ads, and the advertisers and campaigns they name where unknown; of one ad twice, the last.

        An ad and a campaign keep their advertiser: their history belongs to it. Everything else may change. Raises
        InvalidValueError for the first ad that breaks a rule, RefusedAdsError for all that name another advertiser
        than what is stored; then nothing of the batch is stored.
        """
        ...

    def ad(self, ad_id: str) -> Ad:
        """Give one ad. Raises NotFoundError."""
        ...

    def ads(self, advertiser_id: str | None, after: str, limit: int) -> list[Ad]:
        """Give ads by ad_id, those behind `after`; of one advertiser, or of all where None."""
        ...

    def search_ads(self, advertiser_id: str | None, text: str, after: str, limit: int) -> FoundAds:
        """Give ads by ad_id, those behind `after` whose id, name or campaign holds `text`; A to Z match a to z.

        One call looks at a bounded number of ads, so it may find fewer than `limit`, or none, while `next` goes on.
        """
        ...

    def all_ads(self) -> Iterable[Ad]:
        """Stream every ad by ad_id, in bounded memory."""
        ...

    def count_ads(self) -> int:
        """Give the number of ads."""
        ...

    def advertisers(self, after: str, limit: int) -> list[Advertiser]:
        """Give advertisers by id, those behind `after`."""
        ...

    def campaigns(self, advertiser_id: str | None, after: str, limit: int) -> list[Campaign]:
        """Give campaigns by id, those behind `after`."""
        ...

    def create_key(self, advertiser_id: str | None, now_ms: int, expires_ms: int | None = None) -> NewKey:
        """Make a key for an advertiser with scope read, or with scope admin where None.

        Raises NotFoundError for an unknown advertiser, InvalidValueError for a time that has passed.
        """
        ...

    def keys(self) -> list[ApiKey]:
        """Give all keys, revoked ones too, by creation."""
        ...

    def revoke_key(self, key_id: str, now_ms: int) -> ApiKey:
        """Revoke a key; again is harmless. Raises NotFoundError."""
        ...

    def find_key(self, key: str, now_ms: int) -> ApiKey | None:
        """Give the valid key that `key` is the secret of, in time that does not depend on how much of it matches."""
        ...

    def valid_key(self, key_id: str, now_ms: int) -> ApiKey | None:
        """Give a key by its public id; None if it is unknown, revoked or expired."""
        ...

    def note_uses(self, used_ms: Mapping[str, int]) -> None:
        """Note when keys, by id, were last used; an earlier time than is noted, and an unknown key, change nothing."""
        ...

    def ping(self) -> None:
        """Return if the registry answers. Raises StoreUnavailableError."""
        ...

    def close(self) -> None:
        """Release what the registry holds open; it is not used afterwards."""
        ...


class SessionStore(Protocol):
    """Keeps sign-in sessions. Calls block, may come from any thread, and raise StoreUnavailableError."""

    def add(self, session: OpenSession, now_ms: int, of_key_max: int, all_max: int) -> None:
        """Keep a session, and of its key's and of all that have not ended the newest so many, this one among them."""
        ...

    def key_id(self, token_hash: str, now_ms: int) -> str | None:
        """Give the id of the key that a session was opened with; None if there is none, or it has ended."""
        ...

    def remove(self, token_hash: str) -> None:
        """End a session; again is harmless."""
        ...


class AdReplica(Protocol):
    """The edge's side: local, read-only, fast, and current within a second."""

    def find(self, ad_id: str) -> AdTarget | None:
        """Give an ad's target, None where unknown. Never blocks on a network.

        Raises StoreUnavailableError where the local copy cannot be read now.
        """
        ...

    def refresh(self) -> bool:
        """Take note of changes since the last call; to be called several times a second. True if there were any."""
        ...


class AdSource(Protocol):
    """The registry as one sees it who keeps a copy of all ads. Calls block, and raise StoreUnavailableError.

    DataFolderError is raised where the registry has no tables yet.
    """

    def newest(self) -> FeedPlace:
        """Give the place of the last change that is visible."""
        ...

    def changes(self, since: FeedPlace, ads_max: int) -> Changes | None:
        """Give what was changed behind `since`, about `ads_max` ads of it; at the end the place stays the same.

        None where the feed does not hold all of it: `since` is too old, or of another feed. A copy that was read, ad by
        ad, after the feed's end was at `since` becomes complete by these changes: they are never behind a place before
        they are visible.
        """
        ...

    def ads(self, after: str, limit: int) -> list[Ad]:
        """Give ads by ad_id, those behind `after`."""
        ...

    def close(self) -> None:
        """Release what is held open."""
        ...
