"""ETag and If-None-Match: an answer that did not change is not sent again, and each representation has its own tag."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adtally.serve.rendering import WHOLE_BYTES_MAX
from support.serving import NOW_MS, Served, report

HOUR = {"start": "2026-11-23T09:00:00Z", "end": "2026-11-23T10:00:00Z"}
SHORT = {"ad_id": "ad_1", **HOUR, "granularity": "hour"}
LONG = {"ad_id": "ad_1", **HOUR}
PLAIN = {"Accept-Encoding": "identity"}
GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.ad("ad_1", "acme")
        served.ad("ad_2", "other")
        served.click("ad_1", "ann", "2026-11-23T09:05:00Z")
        served.progress.update(report(NOW_MS))
        yield served


def ask(served: Served, params: dict[str, str], **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return served.admin.get("/metrics", params=params, headers={**PLAIN, **named})


def test_a_tag_is_strong_and_names_the_content(served: Served) -> None:
    first, second = ask(served, SHORT), ask(served, SHORT)
    assert first.headers["etag"] == second.headers["etag"]
    assert first.headers["etag"].startswith('"')
    assert ask(served, {**SHORT, "format": "csv"}).headers["etag"] != first.headers["etag"]
    served.click("ad_1", "bob", "2026-11-23T09:06:00Z")
    served.clock.at_s += 3_600
    assert ask(served, SHORT).headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"other",{}', "*"])
def test_who_has_the_answer_already_gets_only_that(served: Served, form: str) -> None:
    first = ask(served, LONG)
    again = ask(served, LONG, if_none_match=form.format(first.headers["etag"]))
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "cache-control"):
        assert again.headers[name] == first.headers[name]
    varied = {name.strip() for name in first.headers["vary"].split(",")}
    assert varied == {"Authorization", "Cookie", "Accept-Encoding"}
    assert {name.strip() for name in again.headers["vary"].split(",")} == varied
    assert "content-type" not in again.headers


def test_who_has_another_answer_gets_the_whole_one(served: Served) -> None:
    tag = ask(served, LONG).headers["etag"]
    for given in ('"other"', tag.strip('"'), f"{tag[:-1]}x"):
        assert ask(served, LONG, if_none_match=given).status_code == 200


def test_the_compressed_answer_has_a_tag_of_its_own(served: Served) -> None:
    plain, packed = ask(served, LONG), ask(served, LONG, **GZIP)
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["etag"] != plain.headers["etag"]
    assert ask(served, LONG, **GZIP, if_none_match=packed.headers["etag"]).status_code == 304
    # What is asked for now is the compressed one, which the asker does not have.
    assert ask(served, LONG, **GZIP, if_none_match=plain.headers["etag"]).status_code == 200
    assert ask(served, LONG, if_none_match=packed.headers["etag"]).status_code == 200


def test_the_same_tag_always_names_the_same_bytes(served: Served) -> None:
    with served.admin.stream("GET", "/metrics", params=LONG, headers=GZIP) as one:
        first = b"".join(one.iter_raw())
    served.clock.at_s += 3_600
    with served.admin.stream("GET", "/metrics", params=LONG, headers=GZIP) as two:
        assert b"".join(two.iter_raw()) == first
        assert two.headers["etag"] == one.headers["etag"]


def test_a_short_answer_is_one_representation_for_everybody(served: Served) -> None:
    assert ask(served, SHORT, **GZIP).headers["etag"] == ask(served, SHORT).headers["etag"]


def test_head_tells_the_same_tag(served: Served) -> None:
    answer = served.admin.head("/metrics", params=SHORT, headers=PLAIN)
    assert answer.headers["etag"] == ask(served, SHORT).headers["etag"]


def test_a_key_that_may_not_see_the_answer_is_not_told_that_it_is_the_same(served: Served) -> None:
    tag = ask(served, SHORT).headers["etag"]
    answer = served.as_advertiser("other").get("/metrics", params=SHORT, headers={"If-None-Match": tag})
    assert answer.status_code == 404
    assert served.anonymous.get("/metrics", params=SHORT, headers={"If-None-Match": "*"}).status_code == 401


def test_a_refusal_has_no_tag_and_is_kept_by_nobody(served: Served) -> None:
    answer = ask(served, {**SHORT, "ad_id": "wrong"}, if_none_match="*")
    assert answer.status_code == 404
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


def test_an_answer_that_is_too_long_to_be_put_together_is_sent_in_pieces_without_a_tag(served: Served) -> None:
    for ad in range(600):
        for minute in range(60):
            served.click(f"{ad:03}" + "x" * 90, "ann", f"2026-11-23T08:{minute:02}:00Z")
    params = {"start": "2026-11-23T08:00:00Z", "end": "2026-11-23T09:00:00Z", "group_by": "ad_id"}
    answer = served.admin.get("/v1/series", params=params)
    assert len(answer.content) > WHOLE_BYTES_MAX
    assert len(answer.json()["series"]) == 36_000
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
