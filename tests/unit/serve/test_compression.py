"""Long answers go out compressed; and what may be kept, and by whom."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from adtally.serve.pages import page_routes
from support.serving import Served

MINUTES_OF_A_DAY = {"ad_id": "ad_1", "start": "2026-11-22T00:00:00Z", "end": "2026-11-23T00:00:00Z"}
ONE_MINUTE = {"ad_id": "ad_1", "start": "2026-11-22T00:00:00Z", "end": "2026-11-22T00:01:00Z"}
GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("compression")) as served:
        served.ad("ad_1", "acme")
        served.click("ad_1", "u", "2026-11-22T10:00:00Z")
        yield served


def both(client: httpx.Client, path: str, params: dict[str, str]) -> tuple[httpx.Response, httpx.Response]:
    plain = client.get(path, params=params, headers=PLAIN)
    packed = client.get(path, params=params, headers=GZIP)
    assert plain.status_code == packed.status_code == 200
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    return plain, packed


@pytest.mark.parametrize(
    ("path", "params"),
    [("/metrics", {}), ("/metrics", {"format": "csv"}), ("/openapi.json", {}), ("/docs", {}), ("/docs.css", {})],
)
def test_long_answers_are_compressed_for_those_who_take_it(served: Served, path: str, params: dict[str, str]) -> None:
    plain, packed = both(served.admin, path, {**(MINUTES_OF_A_DAY if path == "/metrics" else {}), **params})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.num_bytes_downloaded < plain.num_bytes_downloaded / 2
    assert "Accept-Encoding" in plain.headers["vary"]
    assert "Accept-Encoding" in packed.headers["vary"]


def test_an_answer_in_pieces_is_compressed_too(served: Served) -> None:
    for minute in range(60):
        for ad in range(30):
            served.click(f"ad_{ad}", "u", f"2026-11-21T10:{minute:02}:00Z")
    span = {"start": "2026-11-21T10:00:00Z", "end": "2026-11-21T11:00:00Z", "group_by": "ad_id"}
    plain, packed = both(served.admin, "/v1/series", span)
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.num_bytes_downloaded < plain.num_bytes_downloaded / 5


@pytest.mark.parametrize("path", ["/metrics", "/v1/quality", "/-/healthz"])
def test_short_answers_are_not_compressed(served: Served, path: str) -> None:
    answer = served.admin.get(path, params={} if path == "/-/healthz" else ONE_MINUTE, headers=GZIP)
    assert answer.status_code == 200
    assert len(answer.content) < 1_024
    assert "content-encoding" not in answer.headers


def test_a_file_that_did_not_change_is_not_sent_again(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>the page")
    (tmp_path / "main.js").write_text("1" * 5_000)
    app = Starlette(routes=page_routes(tmp_path))

    async def ask_twice() -> tuple[httpx.Response, httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            first = await client.get("/assets/main.js")
            return first, await client.get("/assets/main.js", headers={"If-None-Match": first.headers["etag"]})

    first, second = asyncio.run(ask_twice())
    assert (first.status_code, len(first.content)) == (200, 5_000)
    assert (second.status_code, len(second.content)) == (304, 0)


def test_files_may_be_kept_but_are_asked_for_again(served: Served) -> None:
    assert served.anonymous.get("/docs.css").headers["cache-control"] == "no-cache"


def test_numbers_are_kept_by_the_askers_browser_only_and_asked_for_again(served: Served) -> None:
    for path in ("/metrics", "/v1/quality"):
        assert served.admin.get(path, params=ONE_MINUTE).headers["cache-control"] == "private, no-cache"


def test_what_only_admins_see_is_kept_by_nobody(served: Served) -> None:
    for path in ("/v1/keys", "/v1/deadletters", "/v1/status"):
        answer = served.admin.get(path)
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers
