"""What the API's description promises, held against answers to requests that are made from it (schemathesis)."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from adtally.config import ServeConfig
from adtally.eventlog.port import DeadLetter, Partition, Position
from adtally.reconcile.passes import Wanted
from adtally.serve.endpoints import ENDPOINTS
from support.serving import DEADLINE_S, NOW_MS, Served, report

EXAMPLES = 15
"""Of each operation and mode: about 30 s in all."""

ENDLESS = ("/v1/live",)
"""Answers that go on for as long as somebody listens."""

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

KNOWN = {
    "ad_id": "ad_1",
    "advertiser_id": "acme",
    "start": "2026-11-23T09:00:00Z",
    "end": "2026-11-23T11:00:00Z",
    "timezone": "Asia/Kolkata",
    "hour": "2026-11-23T09",
    "partition": "edge-0",
    "position": "1",
    "number": "1",
}
"""Values that lead to answers: what is made from types alone is refused nearly always."""

AD = '{"ad_id": "ad_2", "advertiser_id": "acme", "landing_url": "https://shop.example/"}'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = ServeConfig(requests_per_minute=10_000_000)
    with Served(tmp_path_factory.mktemp("openapi"), config, click_url="http://127.0.0.1:8080") as served:
        served.ad("ad_1", "acme", "spring")
        served.click("ad_1", "ann", "2026-11-23T09:05:00Z", campaign="spring")
        served.click("ad_1", "eve", "2026-11-23T10:05:00Z", campaign="spring", device="mobile", outcome="duplicate")
        served.dead_letters.put([DeadLetter(Partition("edge-0"), Position("1"), "no event", b"\xff", 5)])
        served.publish("2026-11-23T09:00:00Z")
        served.desk.request(Wanted())
        served.progress.update(report(NOW_MS))
        yield served


@pytest.fixture(scope="module")
def described(served: Served) -> Any:
    return schemathesis.openapi.from_dict(served.anonymous.get("/openapi.json").json())


@schemathesis.serializer("application/x-ndjson")
def as_lines(_: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@st.composite
def cases(draw: st.DrawFn, operation: Any, mode: GenerationMode) -> Any:
    case: Any = draw(operation.as_strategy(mode))
    for parameter in operation.iter_parameters():
        name = parameter.name
        values = case.path_parameters if parameter.location.name == "PATH" else case.query
        known = name in KNOWN and isinstance(values, dict) and (parameter.is_required or name in values)
        if known and draw(st.integers(0, 7)):
            values[name] = KNOWN[name]
    if isinstance(case.body, dict):
        case.body |= {name: KNOWN[name] for name in sorted(case.body.keys() & KNOWN.keys()) if draw(st.integers(0, 3))}
    if case.media_type == "application/x-ndjson" and draw(st.booleans()):
        case.body = f"{AD}\n{case.body!s}"
    return case


NOTHING_TO_GET_WRONG = {("DELETE", "/v1/session")}
"""They take neither parameters nor a body."""

OPERATIONS = [
    pytest.param(e.method, e.path, mode, id=f"{e.method}-{e.path}-{mode.value}")
    for e in ENDPOINTS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if e.path not in ENDLESS and not (mode is GenerationMode.NEGATIVE and (e.method, e.path) in NOTHING_TO_GET_WRONG)
]


@pytest.mark.parametrize(("method", "path", "mode"), OPERATIONS)
def test_every_answer_is_as_it_is_described(
    served: Served, described: Any, seed: int, method: str, path: str, mode: GenerationMode
) -> None:
    statuses: dict[int, int] = {}

    @hypothesis.seed(seed)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(cases(described[path][method], mode))
    def ask(case: Any) -> None:
        answer = case.call(
            base_url=served.url, headers={"Authorization": f"Bearer {served.admin_key}"}, timeout=DEADLINE_S
        )
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        case.validate_response(answer, checks=CHECKS)

    ask()
    print(statuses)
