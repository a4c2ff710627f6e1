"""API keys: made, listed, revoked by an admin."""

from typing import Annotated

import msgspec
from msgspec import Meta

from adtally.registry.port import ApiKey, NewKey
from adtally.registry.rules import check_id
from adtally.serve.ads import NoParams
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.values import Id


class KeyParams(msgspec.Struct, frozen=True):
    """Which key."""

    key_id: Id


class KeyWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose key is to be made."""

    advertiser_id: Annotated[str | None, Meta(description="null makes an admin's key, which sees everything.")]
    expires_ms: Annotated[
        int | None, Meta(description="UTC epoch milliseconds from which on it opens nothing; null: no end.")
    ] = None


class Keys(msgspec.Struct, frozen=True):
    """All keys, revoked ones too, by creation; never a secret."""

    keys: list[ApiKey]


def create_key(call: Call[NoParams, KeyWanted]) -> NewKey:
    """Answer POST /v1/keys: the only time that the key itself is shown."""
    if call.body.advertiser_id is not None:
        check_id("advertiser_id", call.body.advertiser_id)
    return call.services.registry.create_key(call.body.advertiser_id, call.now_ms, call.body.expires_ms)


def list_keys(call: Call[NoParams, NoBody]) -> Keys:
    """Answer GET /v1/keys."""
    return Keys(call.services.registry.keys())


def revoke_key(call: Call[KeyParams, NoBody]) -> ApiKey:
    """Answer DELETE /v1/keys/{key_id}."""
    return call.services.registry.revoke_key(call.params.key_id, call.now_ms)
