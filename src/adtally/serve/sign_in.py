"""`GET /sign-in?token=...`: where the one-time link leads."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from adtally.serve.link import PATH, Link
from adtally.serve.pool import Pool
from adtally.serve.sessions import Sessions, peer_of

TOKEN_CHARACTERS_MAX: Final = 64

_NO_STORE: Final = {"Cache-Control": "no-store"}
_DEAD: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>adtally: this link does not sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<h1>This link does not sign in any more</h1>
<p>It works once, for ten minutes, and not after a restart of adtally.</p>
<p><a href="/">Sign in with a key</a>: the operator's is in <code>admin.key</code> in the data folder, an advertiser's
comes from <code>adtally keys create --advertiser ID</code>. Or start adtally again: it prints a new link.</p>
</html>
"""


def sign_in_routes(link: Link, sessions: Sessions, pool: Pool) -> list[Route]:
    """Give the route of the link; the registry is asked in a thread of `pool`."""

    async def sign_in(request: Request) -> Response:
        # Programs that look where a link leads ask with HEAD: that shall not use it up.
        if request.method == "HEAD":
            return HTMLResponse("", 200, _NO_STORE)
        token = request.query_params.get("token", "")
        cookie = await pool.run(_open, link, sessions, token, peer_of(request).token)
        if cookie is None:
            return HTMLResponse(_DEAD, 410, _NO_STORE)
        headers = _NO_STORE | ({"Set-Cookie": cookie} if cookie else {})
        return RedirectResponse("/", 303, headers)

    return [Route(PATH, sign_in)]


def _open(link: Link, sessions: Sessions, token: str, session_token: str | None) -> str | None:
    """Give the cookie to set: none ("") for who is signed in already, None if the link opens nothing."""
    key_id = link.take(token) if 0 < len(token) <= TOKEN_CHARACTERS_MAX else None
    if key_id is not None and sessions.key_is_valid(key_id):
        sessions.sign_out(session_token)
        return sessions.open(key_id)
    return "" if sessions.is_valid(session_token) else None
