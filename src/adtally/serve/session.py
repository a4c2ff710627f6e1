"""/v1/session: sign in with a key, see who is signed in, sign out."""

import msgspec

from adtally.serve.ads import NoParams
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody, SetCookie


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key to sign in with."""

    key: str

    def __repr__(self) -> str:
        """Give a text without the secret, for logs and stack traces."""
        return "SignIn()"


class SessionInfo(msgspec.Struct, frozen=True):
    """Whose key this is, of a session or of the Authorization header."""

    admin: bool
    advertiser_id: str | None
    """null for an admin, who sees everything."""
    key_id: str


def post_session(call: Call[NoParams, SignIn]) -> SetCookie:
    """Answer POST /v1/session. A session that the cookie named before is ended."""
    cookie = call.sessions.sign_in(call.body.key.strip(), call.peer.address)
    call.sessions.sign_out(call.peer.token)
    return SetCookie(cookie)


def get_session(call: Call[NoParams, NoBody]) -> SessionInfo:
    """Answer GET /v1/session."""
    return SessionInfo(call.caller.is_admin, call.caller.advertiser_id, call.caller.key_id)


def delete_session(call: Call[NoParams, NoBody]) -> SetCookie:
    """Answer DELETE /v1/session; again is harmless."""
    return SetCookie(call.sessions.sign_out(call.peer.token))
