"""The registry as commands see it: through the API of a running system, or in the folder where nothing runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import quote

import msgspec

from adtally.cli.target import ApiClient, Target, config_file_of
from adtally.clock import Clock
from adtally.config import load
from adtally.registry.importing import Stored, invalid_ads, store_batch
from adtally.registry.port import Ad, AdStatus, ApiKey, NewKey, Registry
from adtally.rowfiles import RowError

PAGE_ADS = 1_000


class AdChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of an ad is to be changed; None leaves it as it is."""

    name: str | None = None
    status: AdStatus | None = None
    landing_url: str | None = None
    campaign_id: str | None = None


class RegistryAccess(Protocol):
    """What the commands `ads` and `keys` need."""

    def import_ads(self, lines: Sequence[int], ads: Sequence[Ad]) -> Stored:
        """Store those of up to 10,000 ads that can be stored; errors name their numbers in `lines`."""
        ...

    def ad(self, ad_id: str) -> Ad:
        """Give one ad. Raises NotFoundError."""
        ...

    def ads(self, advertiser_id: str | None, after: str = "") -> Iterator[Ad]:
        """Stream ads by ad_id, those behind `after`; of one advertiser, or of all where None."""
        ...

    def change_ad(self, ad_id: str, change: AdChange) -> Ad:
        """Change an ad and give it as it is now. Raises NotFoundError, InvalidValueError, ConflictError."""
        ...

    def create_key(self, advertiser_id: str | None, expires_ms: int | None) -> NewKey:
        """Make a key for an advertiser, an admin's where None, valid until a time. Raises NotFoundError."""
        ...

    def keys(self) -> list[ApiKey]:
        """Give all keys by creation, revoked ones too."""
        ...

    def revoke_key(self, key_id: str) -> ApiKey:
        """Revoke a key. Raises NotFoundError."""
        ...


class FolderAccess:
    """Works on the folder's registry itself."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def import_ads(self, lines: Sequence[int], ads: Sequence[Ad]) -> Stored:
        """Store ads; see RegistryAccess."""
        return store_batch(self._registry, list(lines), list(ads))

    def ad(self, ad_id: str) -> Ad:
        """Give one ad."""
        return self._registry.ad(ad_id)

    def ads(self, advertiser_id: str | None, after: str = "") -> Iterator[Ad]:
        """Stream ads; see RegistryAccess."""
        while page := self._registry.ads(advertiser_id, after, PAGE_ADS):
            yield from page
            after = page[-1].ad_id

    def change_ad(self, ad_id: str, change: AdChange) -> Ad:
        """Change an ad; see RegistryAccess."""
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not None}
        changed = msgspec.structs.replace(self._registry.ad(ad_id), **given)
        self._registry.upsert_ads([changed])
        return changed

    def create_key(self, advertiser_id: str | None, expires_ms: int | None) -> NewKey:
        """Make a key."""
        return self._registry.create_key(advertiser_id, self._clock.now_ms(), expires_ms)

    def keys(self) -> list[ApiKey]:
        """Give all keys."""
        return self._registry.keys()

    def revoke_key(self, key_id: str) -> ApiKey:
        """Revoke a key."""
        return self._registry.revoke_key(key_id, self._clock.now_ms())


class _AdPage(msgspec.Struct, frozen=True):
    ads: list[Ad]
    next: str | None


class _KeyList(msgspec.Struct, frozen=True):
    keys: list[ApiKey]


class ApiAccess:
    """Asks a running system's API."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def import_ads(self, lines: Sequence[int], ads: Sequence[Ad]) -> Stored:
        """Store ads; see RegistryAccess."""
        # Checked before they are sent: what is no UTF-8 cannot be sent at all.
        bad = invalid_ads(list(ads))
        errors = [RowError(lines[index], reason) for index, reason in bad.items()]
        sent = [index for index in range(len(ads)) if index not in bad]
        if not sent:
            return Stored(0, 0, 0, errors)
        body = msgspec.json.Encoder().encode_lines([ads[index] for index in sent])
        answer = self._client.request(
            "POST", "/v1/ads/import", content=body, headers={"Content-Type": "application/x-ndjson"}
        )
        stored = msgspec.json.decode(answer.content, type=Stored)
        errors += [RowError(lines[sent[error.line - 1]], error.reason) for error in stored.errors]
        return Stored(stored.created, stored.changed, stored.unchanged, sorted(errors, key=lambda error: error.line))

    def ad(self, ad_id: str) -> Ad:
        """Give one ad."""
        return msgspec.json.decode(self._client.request("GET", _path("ads", ad_id)).content, type=Ad)

    def ads(self, advertiser_id: str | None, after: str = "") -> Iterator[Ad]:
        """Stream ads; see RegistryAccess."""
        place: str | None = after
        while place is not None:
            answer = self._client.get("/v1/ads", after=place, limit=PAGE_ADS, advertiser_id=advertiser_id)
            page = msgspec.convert(answer, _AdPage)
            yield from page.ads
            place = page.next

    def change_ad(self, ad_id: str, change: AdChange) -> Ad:
        """Change an ad; see RegistryAccess."""
        answer = self._client.request(
            "PATCH",
            _path("ads", ad_id),
            content=msgspec.json.encode(change),
            headers={"Content-Type": "application/json"},
        )
        return msgspec.json.decode(answer.content, type=Ad)

    def create_key(self, advertiser_id: str | None, expires_ms: int | None) -> NewKey:
        """Make a key."""
        wanted = {"advertiser_id": advertiser_id, "expires_ms": expires_ms}
        return msgspec.convert(self._client.post("/v1/keys", wanted), NewKey)

    def keys(self) -> list[ApiKey]:
        """Give all keys."""
        return msgspec.convert(self._client.get("/v1/keys"), _KeyList).keys

    def revoke_key(self, key_id: str) -> ApiKey:
        """Revoke a key."""
        return msgspec.json.decode(self._client.request("DELETE", _path("keys", key_id)).content, type=ApiKey)


@contextmanager
def open_access(target: Target, clock: Clock, *, make_folder: bool = False) -> Iterator[RegistryAccess]:
    """Give the API's access where a system was named or runs, else the folder's.

    Raises DataFolderError where the folder holds no data, unless it may be made.
    """
    if target.api_url is not None:
        with target.client() as client:
            yield ApiAccess(client)
        return
    from adtally.wiring import open_registry

    if make_folder:
        target.folder.prepare()
    else:
        target.folder.check_version()
    registry = open_registry(target.folder, load(config_file_of(target.folder, None)).config)
    try:
        yield FolderAccess(registry, clock)
    finally:
        registry.close()


def _path(kind: str, name: str) -> str:
    return f"/v1/{kind}/{quote(name, safe='')}"
