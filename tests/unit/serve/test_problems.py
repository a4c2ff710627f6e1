"""What is answered when something is wrong, and the headers of every answer."""

import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adtally.errors import StoreQueryError, StoreUnavailableError
from adtally.olap.port import AggregateQuery, AggregateRow
from adtally.serve.problems import KINDS
from support.serving import DEADLINE_S, NOW_MS, Served, report

SPAN = {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"}


class Failing:
    """Implements OlapReader: fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def aggregate(self, query: AggregateQuery) -> Sequence[AggregateRow]:
        raise self.error


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("problems")) as served:
        served.ad("ad_1", "acme")
        yield served


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/ads/", "/metrics/", "/-/", "/docs/", "/assets/../app.py", "/assets/x"]
)
def test_an_unknown_address_is_a_problem_like_any_other(served: Served, path: str) -> None:
    answer = served.anonymous.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/docs#problem-not-found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/metrics", {"GET", "HEAD"}),
        ("PUT", "/v1/ads/ad_1", {"GET", "HEAD", "PATCH"}),
        ("DELETE", "/v1/keys", {"GET", "HEAD", "POST"}),
        ("POST", "/", {"GET", "HEAD"}),
        ("POST", "/-/readyz", {"GET", "HEAD"}),
        ("OPTIONS", "/v1/top", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(served: Served, method: str, path: str, allowed: set[str]) -> None:
    answer = served.admin.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (405, "/docs#problem-method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed


def test_head_is_get_without_the_body(served: Served) -> None:
    answer = served.admin.head("/metrics", params={"ad_id": "ad_1", **SPAN})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "error", [RuntimeError("password=hunter2"), StoreQueryError("SELECT hunter2"), KeyError("hunter2")]
)
def test_a_defect_shows_no_internals_and_is_logged_under_the_request_id(tmp_path: Path, error: Exception) -> None:
    with Served(tmp_path, reader=Failing(error)) as served, capture_logs() as logged:
        answer = served.admin.get("/v1/top", params=SPAN)
    assert (answer.status_code, answer.json()["type"]) == (500, "/docs#problem-internal")
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    (entry,) = [entry for entry in logged if entry["log_level"] == "error"]
    assert entry["request_id"] == answer.json()["instance"]
    assert "hunter2" in entry["traceback"]
    assert served.admin_key not in str(logged)


def test_a_store_that_does_not_answer_is_503_with_a_time_to_come_back(tmp_path: Path) -> None:
    with Served(tmp_path, reader=Failing(StoreUnavailableError("Code: 241. /secret/path"))) as served:
        answer = served.admin.get("/v1/top", params=SPAN)
        status = served.admin.get("/v1/status").json()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "secret" not in answer.text
    assert status["store"] == {"healthy": False, "reason": "Code: 241. /secret/path"}


@pytest.mark.parametrize(("path", "bytes_max"), [("/v1/keys", 64 * 1024), ("/v1/ads/import", 32 * 1024 * 1024)])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(served: Served, path: str, bytes_max: int) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.admin_key}\r\n"
        connection.sendall(f"{head}Content-Length: {bytes_max + 1}\r\n\r\n".encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_grows_too_large_is_refused(served: Served) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 8_192

    answer = served.admin.post("/v1/keys", content=pieces())
    assert (answer.status_code, answer.json()["type"]) == (413, "/docs#problem-too-large")


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/docs.css", "/openapi.json", "/nothing", "/metrics", "/-/healthz", "/sign-in"]
)
def test_every_answer_has_the_security_headers(served: Served, path: str) -> None:
    headers = served.anonymous.get(path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    own = {name for name, source in policy.items() if source == "'self'"}
    assert own == {"script-src", "style-src", "img-src", "connect-src"}
    assert {name for name, source in policy.items() if source == "'none'"} == policy.keys() - own
    assert policy.keys() - own == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert len(headers["x-request-id"]) == 16
    assert headers["cache-control"] in ("no-store", "no-cache")


def test_every_request_has_an_id_of_its_own(served: Served) -> None:
    ids = {served.anonymous.get("/-/healthz").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


def test_every_kind_of_problem_is_explained_at_its_address(served: Served) -> None:
    page = served.anonymous.get("/docs").text
    for kind in KINDS:
        assert f'id="{kind.type.removeprefix("/docs#")}"' in page


def test_readiness_names_its_reasons(served: Served) -> None:
    assert served.anonymous.get("/-/readyz").json() == {"ready": True, "reasons": [], "detail": ""}
    served.reasons += ["the store is being migrated", "no stream"]
    answer = served.anonymous.get("/-/readyz")
    served.reasons.clear()
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the store is being migrated", "no stream"]


def test_alive_is_alive_whatever_readiness_says(served: Served) -> None:
    assert served.anonymous.get("/-/healthz").text == "ok\n"


def test_the_counts_name_routes_and_not_what_was_asked(served: Served) -> None:
    served.progress.update(report(NOW_MS - 2_500))
    served.admin.get("/v1/ads/ad_1")
    served.admin.get("/v1/ads/nothing")
    served.anonymous.get("/somewhere/else")
    text = served.anonymous.get("/-/metrics").text
    assert 'adtally_serve_requests_total{route="/v1/ads/{ad_id}",status="200"}' in text
    assert 'adtally_serve_requests_total{route="/v1/ads/{ad_id}",status="404"}' in text
    assert 'adtally_serve_requests_total{route="(none)",status="404"}' in text
    assert "somewhere" not in text
    assert "adtally_serve_lag_seconds 2.5\n" in text
    assert re.search(r"^adtally_stream_dedup_entries \d+\.0$", text, re.MULTILINE)


def test_status_tells_lag_and_health(served: Served) -> None:
    served.progress.update(report(NOW_MS - 2_000))
    status = served.admin.get("/v1/status").json()
    assert status["lag_ms"] <= 2_500
    assert status["store"] == status["registry"] == {"healthy": True, "reason": None}
    assert status["stream"]["positions"] == {"edge-0": "0001"}


def test_a_stream_that_replays_does_not_take_back_what_is_counted(served: Served) -> None:
    served.progress.update(report(NOW_MS - 1_000))
    served.progress.update(report(0))
    assert served.progress.as_of_ms == NOW_MS - 1_000
