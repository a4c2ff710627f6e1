"""The addresses about who may ask: sign-in sessions and keys. A part of the table in endpoints.py."""

from typing import Any, Final

from adtally.registry.port import ApiKey, NewKey
from adtally.serve import ads, keys, session
from adtally.serve.endpoint import Endpoint, NoBody
from adtally.serve.problems import NOT_FOUND

ACCESS_ENDPOINTS: Final[tuple[Endpoint[Any, Any], ...]] = (
    Endpoint(
        method="POST",
        path="/v1/session",
        summary="Sign a browser in with a key: the answer sets a cookie",
        description="The cookie does as the key does, for 12 hours at most, or until adtally is restarted. Too many "
        "failures from one address are refused for some seconds.",
        params=ads.NoParams,
        body=session.SignIn,
        answer=NoBody,
        status=204,
        who="anyone",
        pool="registry",
        handler=session.post_session,
    ),
    Endpoint(
        method="GET",
        path="/v1/session",
        summary="Whose key the request came with",
        params=ads.NoParams,
        body=NoBody,
        answer=session.SessionInfo,
        pool="registry",
        handler=session.get_session,
    ),
    Endpoint(
        method="DELETE",
        path="/v1/session",
        summary="Sign the browser out",
        params=ads.NoParams,
        body=NoBody,
        answer=NoBody,
        status=204,
        who="anyone",
        pool="registry",
        handler=session.delete_session,
    ),
    Endpoint(
        method="GET",
        path="/v1/keys",
        summary="All API keys, without their secrets",
        params=ads.NoParams,
        body=NoBody,
        answer=keys.Keys,
        who="admin",
        pool="registry",
        handler=keys.list_keys,
    ),
    Endpoint(
        method="POST",
        path="/v1/keys",
        summary="Make an API key; it is shown this once",
        params=ads.NoParams,
        body=keys.KeyWanted,
        answer=NewKey,
        status=201,
        who="admin",
        pool="changes",
        refusals=(NOT_FOUND,),
        repeatable=True,
        handler=keys.create_key,
    ),
    Endpoint(
        method="DELETE",
        path="/v1/keys/{key_id}",
        summary="Revoke an API key; it stops within a second",
        params=keys.KeyParams,
        body=NoBody,
        answer=ApiKey,
        who="admin",
        pool="changes",
        refusals=(NOT_FOUND,),
        handler=keys.revoke_key,
    ),
)
