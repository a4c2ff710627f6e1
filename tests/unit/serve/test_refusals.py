"""The table of what each address refuses, and with which field to blame."""

from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest

from adtally.eventlog.port import DeadLetter, Partition, Position
from adtally.reconcile.passes import Wanted
from adtally.serve.endpoints import ENDPOINTS
from support.serving import Served

PAGE = {"X-Adtally-Page": "1"}

GOOD: dict[str, dict[str, str]] = {
    "/metrics": {"ad_id": "ad_1", "start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"},
    "/v1/quality": {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"},
    "/v1/series": {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"},
    "/v1/compare": {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"},
    "/v1/top": {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"},
    "/v1/live": {},
    "/v1/ledger": {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T11:00:00Z"},
    "/v1/ledger/2026-11-23T10": {},
    "/v1/ads": {},
    "/v1/campaigns": {},
    "/v1/advertisers": {},
    "/v1/keys": {},
    "/v1/session": {},
    "/v1/status": {},
    "/v1/about": {},
    "/v1/ads/ad_1": {},
    "/v1/deadletters": {},
    "/v1/deadletters/edge-0/1": {},
    "/v1/reconcile/1": {},
}

BAD_TIMES = [
    ("", "is no time"),
    ("yesterday", "is no time"),
    ("2026-11-23", "is no time"),
    ("2026-11-23T10:00:00", "has no offset"),
    ("2026-11-23T10:00:00+1", "is no time"),
    ("2026-02-30T10:00:00Z", "is no time"),
    ("2026-11-23T24:30:00Z", "is no time"),
    ("2026-11-23T10:00:00+99:00", "is no time"),
    ("0001-01-01T00:00:00+01:00", "is no time"),
    ("9999-12-31T23:30:00-01:00", "is no time"),
    ("-5", "is no time"),
    ("1e9", "is no time"),
    ("NaN", "is no time"),
    ("1790000000000", "looks like milliseconds"),
    ("١٧٩٠٠٠٠٠٠٠", "is no time"),
]
FILTERED = ("/v1/quality", "/v1/series", "/v1/top", "/v1/compare")
RANGED = ("/metrics", *FILTERED, "/v1/ledger")
DAILY = tuple(path for path in RANGED if path != "/v1/compare")
"""Addresses whose ranges end tomorrow at the latest; /v1/compare also takes this month and this week as wholes."""


TABLE: list[tuple[str, str, str, str]] = [
    *[(path, field, text, reason) for path in RANGED for field in ("start", "end") for text, reason in BAD_TIMES],
    *[(path, "start", "1999-12-31T23:59:59Z", "before 2000") for path in RANGED],
    *[(path, "end", "2026-11-25T00:00:01Z", "after tomorrow") for path in DAILY],
    *[(path, "end", "2099-01-01T00:00:00Z", "the latest is 2026-11-25T00:00:00Z") for path in DAILY],
    ("/v1/compare", "end", "2026-12-01T00:00:01Z", "after tomorrow"),
    ("/v1/compare", "start", "2005-01-01T00:00:00Z", "the period before it would begin before 2000"),
    ("/v1/compare", "granularity", "year", "is none of"),
    ("/v1/compare", "timezone", "Mars/Olympus", "is no time zone"),
    *[(path, "end", "2026-11-23T10:00:00Z", "later than start") for path in RANGED],
    *[(path, "end", "2026-11-23T09:00:00Z", "later than start") for path in RANGED],
    ("/metrics", "ad_id", "", "is empty"),
    ("/metrics", "ad_id", "x" * 129, "129 bytes"),
    ("/metrics", "ad_id", "é" * 65, "130 bytes"),
    ("/metrics", "ad_id", "a\nb", "control character"),
    ("/metrics", "ad_id", "a\0b", "control character"),
    ("/metrics", "granularity", "fortnight", "'fortnight' is none of"),
    ("/metrics", "granularity", "", "is none of"),
    ("/metrics", "granularity", "MINUTE", "is none of"),
    ("/metrics", "timezone", "", "is no time zone"),
    ("/metrics", "timezone", "europe/berlin", "did you mean Europe/Berlin?"),
    ("/metrics", "timezone", "Europe/Berlni", "did you mean Europe/Berlin?"),
    ("/metrics", "timezone", "../../etc/passwd", "is no time zone"),
    ("/metrics", "timezone", "/etc/localtime", "is no time zone"),
    ("/metrics", "timezone", "Europe", "is no time zone"),
    ("/metrics", "timezone", "+01:00", "is no time zone"),
    ("/metrics", "group_by", "ad_id", "is none of device"),
    ("/metrics", "group_by", "", "is none of device"),
    ("/metrics", "group_by", "device,device", "twice"),
    ("/metrics", "format", "xml", "is none of"),
    *[(path, "ad_id", "", "is empty") for path in FILTERED],
    *[(path, "advertiser_id", "", "is empty") for path in FILTERED],
    *[(path, "campaign_id", "a\nb", "control character") for path in FILTERED],
    *[(path, "campaign_id", "x" * 129, "129 bytes") for path in FILTERED],
    *[(path, "device", "phone", "'phone' is none of bot, desktop") for path in FILTERED],
    *[(path, "device", "mobile,mobile", "twice") for path in FILTERED],
    ("/v1/live", "ad_id", "", "is empty"),
    ("/v1/live", "advertiser_id", "", "is empty"),
    ("/v1/series", "granularity", "second", "is none of"),
    ("/v1/series", "timezone", "Mars/Olympus", "is no time zone"),
    ("/v1/series", "group_by", "outcome", "is none of"),
    ("/v1/series", "group_by", "ad_id,", "is none of"),
    ("/v1/series", "ad_id", "\x7f", "control character"),
    ("/v1/series", "format", "xlsx", "is none of csv, json, parquet"),
    ("/v1/series", "fill", "yes", "'yes' is none of true, false"),
    ("/v1/series", "fill", "", "is none of"),
    ("/v1/top", "by", "money", "is none of"),
    ("/v1/top", "of", "users", "is none of"),
    ("/v1/top", "limit", "0", "not between 1 and 1000"),
    ("/v1/top", "limit", "1001", "not between 1 and 1000"),
    ("/v1/top", "limit", "9" * 40, "no whole number"),
    ("/v1/top", "limit", "ten", "no whole number"),
    ("/v1/top", "limit", "1.5", "no whole number"),
    ("/v1/top", "limit", "", "no whole number"),
    ("/v1/ads", "limit", "0", "not between"),
    ("/v1/ads", "limit", "1001", "not between"),
    ("/v1/ads", "advertiser_id", "", "is empty"),
    ("/v1/ads", "search", "x" * 129, "129 bytes"),
    ("/v1/ads", "search", "a\nb", "control character"),
    ("/v1/campaigns", "limit", "-1", "not between"),
    ("/v1/campaigns", "advertiser_id", "a\tb", "control character"),
    ("/v1/advertisers", "limit", "many", "no whole number"),
    ("/v1/deadletters", "limit", "0", "not between"),
    ("/v1/deadletters", "after", "edge-0", "is not the `next` of a page"),
    ("/v1/deadletters/edge-0/1", "partition", "edge-1", "is no parameter"),
    ("/v1/deadletters/edge-0/1", "position", "2", "is no parameter"),
    ("/v1/ledger", "limit", "1001", "not between"),
    ("/v1/ledger", "after", "ten", "is no time"),
    ("/v1/ledger/2026-11-23T10", "limit", "0", "not between"),
    ("/v1/ledger/2026-11-23T10", "after", "-1", "not between 0 and 1000000"),
    ("/v1/ledger/2026-11-23T10", "commit", "-1", "not between 0 and"),
    ("/v1/ledger/2026-11-23T10", "commit", "77", "its lines are 1"),
    ("/v1/ledger/2026-11-23T10", "hour", "2026-11-23T11", "is no parameter"),
    ("/v1/reconcile/1", "number", "2", "is no parameter"),
    *[(path, "unheard_of", "1", "is no parameter") for path in GOOD],
    ("/v1/ads/ad_1", "ad_id", "ad_2", "is no parameter"),
]


SAMPLE = {"ad_id": "ad_1", "partition": "edge-0", "position": "1", "hour": "2026-11-23T10", "number": "1"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("refusals")) as served:
        served.ad("ad_1", "acme")
        served.dead_letters.put([DeadLetter(Partition("edge-0"), Position("1"), "no event", b"{}", 5)])
        served.publish("2026-11-23T10:00:00Z")
        served.desk.request(Wanted())
        yield served


def sample(path: str) -> str:
    """Give an address with what is served here in the place of its parameters."""
    for name, value in SAMPLE.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def assert_refused(answer: httpx.Response, field: str, reason: str) -> None:
    problem = answer.json()
    assert answer.status_code == 400, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["field"] == field
    assert reason in problem["detail"]
    assert problem["type"] == "/docs#problem-invalid-value"
    assert problem["instance"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(("path", "field", "value", "reason"), TABLE)
def test_a_bad_value_is_refused_by_name(served: Served, path: str, field: str, value: str, reason: str) -> None:
    assert_refused(served.admin.get(path, params={**GOOD[path], field: value}), field, reason)


@pytest.mark.parametrize("path", GOOD)
def test_good_values_are_not_refused(served: Served, path: str) -> None:
    # Not read: some answers do not end.
    with served.admin.stream("GET", path, params=GOOD[path]) as answer:
        assert answer.status_code == 200


def test_the_table_leaves_no_get_address_out() -> None:
    in_code = {sample(endpoint.path) for endpoint in ENDPOINTS if endpoint.method == "GET"}
    assert in_code == GOOD.keys()


@pytest.mark.parametrize(("path", "name"), [(path, name) for path in GOOD for name in GOOD[path]])
def test_a_needed_value_that_is_missing_is_refused(served: Served, path: str, name: str) -> None:
    rest = {key: value for key, value in GOOD[path].items() if key != name}
    assert_refused(served.admin.get(path, params=rest), name, "is missing")


@pytest.mark.parametrize(("path", "name"), [(path, name) for path in GOOD for name in GOOD[path]])
def test_a_repeated_value_is_refused(served: Served, path: str, name: str) -> None:
    pairs = urlencode([*GOOD[path].items(), (name, GOOD[path][name])])
    assert_refused(served.admin.get(f"{path}?{pairs}"), name, "more than once")


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("ad_id=%zz", "query", "%25"),
        ("ad_id=a%2", "query", "%25"),
        ("ad_id=%ff", "ad_id", "UTF-8"),
        ("ad_id=%ed%a0%80", "ad_id", "UTF-8"),
        ("%ff=1", "query", "UTF-8"),
        ("ad_id", "ad_id", "is empty"),
    ],
)
def test_a_query_that_is_not_well_written_is_refused(served: Served, query: str, field: str, reason: str) -> None:
    assert_refused(served.admin.get(f"/metrics?start=1790000000&end=1790000060&{query}"), field, reason)


def test_more_than_ten_thousand_buckets_are_refused(served: Served) -> None:
    for path in ("/metrics", "/v1/series"):
        params = {**GOOD[path], "start": "2026-11-01T00:00:00Z"}
        assert_refused(served.admin.get(path, params=params), "end", "more than 10,000 buckets")


def test_zeros_are_not_filled_in_by_group(served: Served) -> None:
    params = {**GOOD["/v1/series"], "fill": "true", "group_by": "device"}
    assert_refused(served.admin.get("/v1/series", params=params), "fill", "together with group_by")


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "reason"),
    [
        ("PATCH", "/v1/ads/ad_1", b"", "body", "not valid JSON"),
        ("PATCH", "/v1/ads/ad_1", b"{", "body", "not valid JSON"),
        ("PATCH", "/v1/ads/ad_1", b'{"name": "\xff"}', "body", ""),
        ("PATCH", "/v1/ads/ad_1", b"[]", "body", "Expected `object`"),
        ("PATCH", "/v1/ads/ad_1", b"{}", "body", "changes nothing"),
        ("PATCH", "/v1/ads/ad_1", b'{"advertiser_id": "other"}', "body", "advertiser_id"),
        ("PATCH", "/v1/ads/ad_1", b'{"status": "asleep"}', "status", "asleep"),
        ("PATCH", "/v1/ads/ad_1", b'{"name": 5}', "name", "Expected `str`"),
        ("PATCH", "/v1/ads/ad_1", b'{"name": null}', "name", "Expected `str`"),
        ("PATCH", "/v1/ads/ad_1", b'{"landing_url": "javascript:alert(1)"}', "landing_url", "http"),
        ("PATCH", "/v1/ads/ad_1?force=1", b'{"name": "x"}', "force", "is no parameter"),
        ("POST", "/v1/keys", b"", "body", "not valid JSON"),
        ("POST", "/v1/keys", b"{}", "body", "missing required field `advertiser_id`"),
        ("POST", "/v1/keys", b'{"advertiser_id": ""}', "advertiser_id", "is empty"),
        ("POST", "/v1/keys", b'{"advertiser_id": 7}', "advertiser_id", "Expected"),
        ("POST", "/v1/keys", b'{"advertiser_id": null, "admin": true}', "body", "unknown field `admin`"),
        ("POST", "/v1/keys", b'{"advertiser_id": null, "expires_ms": 5}', "expires_ms", "is not between now"),
        ("POST", "/v1/keys", b'{"advertiser_id": null, "expires_ms": "soon"}', "expires_ms", "Expected"),
        ("POST", "/v1/session", b'{"key": 5}', "key", "Expected `str`"),
        ("POST", "/v1/session", b'{"password": "x"}', "body", "unknown field"),
        ("POST", "/v1/ads/import", b"{}\n" * 10_001, "body", "more than 10,000 lines"),
        ("POST", "/v1/reconcile", b'{"hour": "noon"}', "hour", "is no hour"),
        ("POST", "/v1/reconcile", b'{"hour": "2026-11-23T12"}', "hour", "has not ended"),
        ("POST", "/v1/reconcile", b'{"accept_missing": true}', "accept_missing", "needs an hour"),
        ("POST", "/v1/reconcile", b'{"force": true}', "body", "unknown field `force`"),
        ("GET", "/v1/reconcile/0", b"", "number", "not between"),
        ("GET", "/v1/reconcile/one", b"", "number", "no whole number"),
        ("DELETE", "/v1/keys/a%0ab", b"", "key_id", "control character"),
        ("GET", "/v1/deadletters/edge-0/a%0ab", b"", "position", "control character"),
        ("POST", "/v1/deadletters/replay", b'{"partition": "edge-0"}', "body", "missing required field `position`"),
        ("POST", "/v1/deadletters/replay", b'{"partition":"edge-0","position":"1","payload":""}', "payload", "empty"),
        ("POST", "/v1/deadletters/replay", b'{"partition":"edge-0","position":"1"}', "payload", "is no event"),
    ],
)
def test_a_bad_body_is_refused(served: Served, method: str, path: str, body: bytes, field: str, reason: str) -> None:
    assert_refused(served.admin.request(method, path, content=body, headers=PAGE), field, reason)


@pytest.mark.parametrize(
    "hour",
    [
        "yesterday",
        "0001-01-01T00:00:00+01:00",
        "2026-11-23",
        "2026-11-23T10:00",
        "2026-11-23T24",
        "2026-13-01T00",
        "T1",
    ],
)
def test_what_is_no_hour_is_refused(served: Served, hour: str) -> None:
    assert_refused(served.admin.get(f"/v1/ledger/{hour}"), "hour", "is no hour: give 2026-11-23T10 (UTC)")


def test_refusals_change_nothing(served: Served) -> None:
    before = served.registry.ad("ad_1")
    served.admin.patch("/v1/ads/ad_1", content=b'{"name": "new", "landing_url": "ftp://x"}')
    assert served.registry.ad("ad_1") == before


def test_every_parameter_of_every_get_address_has_a_bad_value_in_the_table() -> None:
    tried = {(path, field) for path, field, _, _ in TABLE}
    for endpoint in ENDPOINTS:
        if endpoint.method == "GET":
            path = sample(endpoint.path)
            names = set(endpoint.params.__struct_fields__) - {"after"}
            assert {name for name in names if (path, name) not in tried} == set(), path
