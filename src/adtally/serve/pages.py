"""The page at `/` and its files."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

STATIC: Final = Path(__file__).with_name("static")
"""Made by `make web` from the dashboard's source; in the wheel, not in git."""

_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>adtally</title>
<h1>The page is not built</h1>
<p>Run <code>make web</code> and start adtally again. The API works without it: see <a href="/docs">/docs</a>.</p>
</html>
"""


def page_routes(static: Path = STATIC) -> list[BaseRoute]:
    """Give the routes of the page; where it was not built, a page that says so."""
    index = static / "index.html"

    async def page(_: Request) -> Response:
        return FileResponse(index)

    async def not_built(_: Request) -> Response:
        return HTMLResponse(_NOT_BUILT)

    if not index.is_file():
        return [Route("/", not_built)]
    # Resolves links and refuses what lies outside the folder.
    return [Route("/", page), Mount("/assets", StaticFiles(directory=static))]
