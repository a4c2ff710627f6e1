"""The one-time link."""

from pathlib import Path

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from adtally.registry.sql import SqlRegistry
from adtally.serve.link import LINK_LIFETIME_MS, LinkSpec, make_link
from support.serving import NOW_MS, Served


class Linked(Served):
    """A system with a link for an admin's key; `path` is the link."""

    def __init__(self, folder: Path) -> None:
        registry = SqlRegistry.open(folder / "registry.db")
        self.key_id = registry.create_key(None, NOW_MS).key_id
        self.path, self.spec = make_link(self.key_id, NOW_MS)
        super().__init__(folder, registry=registry, link=self.spec)

    def status(self, browser: httpx.Client) -> int:
        return browser.get("/v1/session").status_code


def assert_dead(answer: httpx.Response) -> None:
    assert answer.status_code == 410
    assert answer.headers["content-type"].startswith("text/html")
    assert "admin.key" in answer.text
    assert "set-cookie" not in answer.headers


def test_the_link_signs_in_and_leads_to_the_page_without_its_token(tmp_path: Path) -> None:
    with Linked(tmp_path) as served:
        browser = served.client(None)
        answer = browser.get(served.path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
        assert browser.get("/v1/session").json() == {"admin": True, "advertiser_id": None, "key_id": served.key_id}


def test_the_link_works_once_and_does_not_hurt_whoever_used_it(tmp_path: Path) -> None:
    with Linked(tmp_path) as served:
        first, second = served.client(None), served.client(None)
        first.get(served.path)
        assert_dead(second.get(served.path))
        again = first.get(served.path)
        assert (again.status_code, "set-cookie" in again.headers) == (303, False)
        assert (served.status(first), served.status(second)) == (200, 401)


def test_the_link_works_for_ten_minutes(tmp_path: Path) -> None:
    with Linked(tmp_path) as served:
        served.clock.at_ms += LINK_LIFETIME_MS
        assert_dead(served.anonymous.get(served.path))
        served.clock.at_ms -= 1
        assert_dead(served.anonymous.get(served.path))


def test_the_link_of_a_revoked_key_opens_nothing(tmp_path: Path) -> None:
    with Linked(tmp_path) as served:
        served.registry.revoke_key(served.key_id, NOW_MS)
        assert_dead(served.anonymous.get(served.path))


@pytest.mark.parametrize("query", ["", "?token=", "?token=x", "?token=%ff%00", "?token=" + "x" * 5_000, "?tokens=1"])
def test_an_invented_token_opens_nothing_and_leaves_the_link_alone(tmp_path: Path, query: str) -> None:
    with Linked(tmp_path) as served:
        assert_dead(served.client(None).get("/sign-in" + query))
        assert served.anonymous.get(served.path).status_code == 303


def test_without_a_link_as_after_a_restart_the_page_says_what_to_do(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        assert_dead(served.anonymous.get("/sign-in?token=x"))


def test_looking_where_the_link_leads_does_not_use_it_up(tmp_path: Path) -> None:
    with Linked(tmp_path) as served:
        assert served.anonymous.head(served.path).headers.get("set-cookie") is None
        assert served.anonymous.get(served.path).status_code == 303


def test_the_token_has_128_bits_and_only_its_hash_is_handed_on(tmp_path: Path) -> None:
    path, spec = make_link("0123456789", 5)
    token = path.removeprefix("/sign-in?token=")
    assert len(token) == 22
    assert token not in msgspec.json.encode(spec).decode()
    assert isinstance(spec, LinkSpec)
    with capture_logs() as logged, Linked(tmp_path) as served:
        served.anonymous.get(served.path)
    assert served.path.removeprefix("/sign-in?token=") not in str(logged)
