"""/openapi.json, /docs, the page; and who may read the counts."""

import asyncio
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from adtally.config import ServeConfig
from adtally.eventlog.port import DeadLetter, LogWriter, Partition, Position
from adtally.history.letters import LetterDesk
from adtally.reconcile.passes import Wanted
from adtally.registry.sql import SqlRegistry
from adtally.serve.app import build_app
from adtally.serve.endpoints import ENDPOINTS
from adtally.serve.pages import page_routes
from adtally.serve.progress import Progress
from adtally.serve.services import Services
from support.memory_ledger import MemoryLedger
from support.memory_log import MemoryDeadLetters
from support.memory_olap import MemoryOlap
from support.serving import Served, SetClock

SAMPLE = {"ad_id": "ad_1", "partition": "edge-0", "position": "1", "hour": "2026-11-23T09", "number": "1"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("documents")) as served:
        served.ad("ad_1", "acme")
        served.dead_letters.put([DeadLetter(Partition("edge-0"), Position("1"), "no event", b"\xff", 5)])
        served.publish("2026-11-23T09:00:00Z")
        served.desk.request(Wanted())
        yield served


def no_writer(edge_id: str, now_ms: int) -> LogWriter:
    raise NotImplementedError("nothing is replayed here")


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref":
                yield member
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def test_the_document_describes_exactly_the_addresses_that_there_are(served: Served) -> None:
    document = served.anonymous.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}


def test_every_reference_leads_somewhere(served: Served) -> None:
    document = served.anonymous.get("/openapi.json").json()
    for reference in references(document):
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_parameters_are_described_as_they_are_checked(served: Served) -> None:
    document = served.anonymous.get("/openapi.json").json()
    found = {p["name"]: p for p in document["paths"]["/metrics"]["get"]["parameters"]}
    assert {name for name, p in found.items() if p["required"]} == {"ad_id", "start", "end"}
    assert found["granularity"]["schema"]["default"] == "minute"
    assert found["timezone"]["schema"]["default"] == "UTC"
    assert set(found["granularity"]["schema"]["enum"]) == {"minute", "hour", "day", "week", "month"}
    top = {p["name"]: p for p in document["paths"]["/v1/top"]["get"]["parameters"]}
    assert top["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10}
    (ad_id,) = document["paths"]["/v1/ads/{ad_id}"]["get"]["parameters"]
    assert (ad_id["in"], ad_id["required"]) == ("path", True)


def test_answers_have_the_members_that_the_document_says(served: Served) -> None:
    document = served.anonymous.get("/openapi.json").json()
    span = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T10:01:00Z"}
    for endpoint in ENDPOINTS:
        if endpoint.method == "GET" and endpoint.media_type == "application/json":
            names = endpoint.params.__struct_fields__
            params = {
                **({"ad_id": "ad_1"} if endpoint.path == "/metrics" else {}),
                **(span if "start" in names else {}),
            }
            path = endpoint.path
            for name, value in SAMPLE.items():
                path = path.replace(f"{{{name}}}", value)
            answer = served.admin.get(path, params=params).json()
            described = document["paths"][endpoint.path]["get"]["responses"]["200"]
            (reference,) = references(described)
            schema = document["components"]["schemas"][reference.rsplit("/", 1)[-1]]
            assert answer.keys() == schema["properties"].keys(), endpoint.path


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_docs_page_is_well_formed_and_asks_nobody_else(served: Served) -> None:
    tags = Tags()
    tags.feed(served.anonymous.get("/docs").text)
    assert tags.open == []
    for tag, attributes in tags.seen:
        assert tag not in ("script", "style", "img", "iframe")
        assert "style" not in attributes
        target = attributes.get("href") or "/"
        assert target.startswith(("#", "/")), target
    anchors = {attributes["id"] for _, attributes in tags.seen if attributes.get("id")}
    for _, attributes in tags.seen:
        target = attributes.get("href") or ""
        assert not target.startswith("#") or target[1:] in anchors
    assert served.anonymous.get("/docs.css").headers["content-type"].startswith("text/css")


def test_no_page_has_a_script_or_a_style_of_its_own(served: Served) -> None:
    for path in ("/", "/docs", "/sign-in"):
        tags = Tags()
        tags.feed(served.anonymous.get(path).text)
        for tag, attributes in tags.seen:
            assert tag != "style"
            assert tag != "script" or (attributes["src"] or "").startswith("/")
            assert not [name for name in attributes if name.startswith("on") or name == "style"]


def client_of(app: Starlette, address: str = "127.0.0.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://t")


def get(app: Starlette, path: str, address: str = "127.0.0.1") -> httpx.Response:
    async def ask() -> httpx.Response:
        async with client_of(app, address) as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_without_a_built_page_the_root_says_how_to_build_it(tmp_path: Path) -> None:
    answer = get(Starlette(routes=page_routes(tmp_path)), "/")
    assert answer.status_code == 200
    assert "make web" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../secret",
        "/assets/%2e%2e/secret",
        "/assets/..%2fsecret",
        "/assets//etc/passwd",
        "/assets/link",
        "/assets/",
    ],
)
def test_files_outside_the_pages_folder_are_not_given(tmp_path: Path, path: str) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text("<p>the page")
    (static / "main.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    (static / "link").symlink_to(tmp_path / "secret")
    app = Starlette(routes=page_routes(static))
    assert get(app, "/").text == "<p>the page"
    assert get(app, "/assets/main.js").text == "1"
    assert get(app, path).status_code == 404


@pytest.mark.parametrize(
    ("address", "public", "status"),
    [
        ("127.0.0.1", False, 200),
        ("::1", False, 200),
        ("10.0.0.9", False, 403),
        ("10.0.0.9", True, 200),
        ("odd", False, 403),
    ],
)
def test_counts_are_for_this_machine_unless_allowed(tmp_path: Path, address: str, public: bool, status: int) -> None:
    registry = SqlRegistry.open(tmp_path / "registry.db")
    app = build_app(
        Services(
            reader=MemoryOlap(),
            registry=registry,
            ledger=MemoryLedger(),
            clock=SetClock(),
            config=ServeConfig(metrics_public=public),
            progress=Progress(),
            letters=LetterDesk(MemoryDeadLetters(), no_writer),
            ready=list,
        )
    )
    answer = get(app, "/-/metrics", address)
    registry.close()
    assert answer.status_code == status
    assert bool(re.search(r"adtally_serve_lag_seconds NaN", answer.text)) == (status == 200)
