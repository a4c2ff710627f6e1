"""Idempotency-Key: a change that is asked for twice is made once."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from adtally.registry.port import NewKey, Registry
from adtally.serve.endpoints import ENDPOINTS
from adtally.serve.once import Once
from adtally.serve.rendering import Rendered, Whole
from support.serving import DEADLINE_S, NOW_MS, Served, SetClock

REPEATABLE = {
    "/v1/keys": b'{"advertiser_id": "acme"}',
    "/v1/ads/import": b'{"ad_id": "ad_2", "advertiser_id": "acme", "landing_url": "https://shop.example/"}',
    "/v1/reconcile": b"{}",
    "/v1/deadletters/replay": b'{"partition": "edge-0", "position": "1"}',
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as served:
        served.ad("ad_1", "acme")
        yield served


def post(served: Served, key: str | None, body: bytes, path: str = "/v1/keys") -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return served.admin.post(path, content=body, headers=headers)


ACME = REPEATABLE["/v1/keys"]


def keys_of(served: Served) -> int:
    return len(served.registry.keys())


def test_every_post_of_the_api_is_repeatable() -> None:
    assert {e.path for e in ENDPOINTS if e.repeatable} == REPEATABLE.keys()
    assert {e.path for e in ENDPOINTS if e.method == "POST" and e.who == "admin"} == REPEATABLE.keys()


def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(served: Served) -> None:
    first = post(served, "8e03978e-40d5-43e8-bc93-6894a57f9324", ACME)
    before = keys_of(served)
    second = post(served, "8e03978e-40d5-43e8-bc93-6894a57f9324", ACME)
    quoted = post(served, '"8e03978e-40d5-43e8-bc93-6894a57f9324"', ACME)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json() == quoted.json()
    assert keys_of(served) == before
    assert second.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/v1/ads/import", "/v1/reconcile"])
def test_other_changes_are_made_once_too(served: Served, path: str) -> None:
    first, second = (post(served, "k", REPEATABLE[path], path) for _ in range(2))
    assert first.status_code < 300
    assert (second.status_code, second.content) == (first.status_code, first.content)


def test_without_a_key_each_request_is_one_of_its_own(served: Served) -> None:
    assert post(served, None, ACME).json() != post(served, None, ACME).json()


def test_one_key_for_two_requests_is_refused_and_nothing_is_done(served: Served) -> None:
    post(served, "k", ACME)
    before = keys_of(served)
    refused = post(served, "k", b'{"advertiser_id": null}')
    assert (refused.status_code, refused.json()["type"]) == (422, "/docs#problem-idempotency-key-reused")
    assert keys_of(served) == before


def test_keys_of_different_callers_and_addresses_have_nothing_to_do_with_each_other(served: Served) -> None:
    mine = post(served, "k", ACME).json()
    other = served.client(served.registry.create_key(None, NOW_MS).key)
    theirs = other.post("/v1/keys", content=ACME, headers={"Idempotency-Key": "k"})
    assert theirs.status_code == 201
    assert theirs.json() != mine
    assert post(served, "k", b"{}", "/v1/reconcile").status_code == 202


def test_a_change_that_failed_may_be_tried_again(served: Served) -> None:
    body = b'{"advertiser_id": "later"}'
    assert post(served, "k", body).status_code == 404
    served.ad("ad_9", "later")
    assert post(served, "k", body).status_code == 201


def test_after_a_day_a_key_is_new(served: Served) -> None:
    first = post(served, "k", ACME).json()
    served.clock.at_s += 86_399
    assert post(served, "k", ACME).json() == first
    served.clock.at_s += 1
    assert post(served, "k", ACME).json() != first


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, "ü", 'a"b'])
def test_what_is_no_key_is_refused(served: Served, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    refused = served.admin.post("/v1/keys", content=ACME, headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (400, "Idempotency-Key")


def test_two_keys_at_once_are_refused(served: Served) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert served.admin.post("/v1/keys", content=ACME, headers=headers).status_code == 400


def test_while_the_first_is_carried_out_a_repeat_is_told_to_wait(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = threading.Event(), threading.Event()
    create = type(served.registry).create_key

    def slow(self: Registry, advertiser_id: str | None, now_ms: int, expires_ms: int | None) -> NewKey:
        begun.set()
        assert gate.wait(DEADLINE_S)
        return create(self, advertiser_id, now_ms, expires_ms)

    monkeypatch.setattr(type(served.registry), "create_key", slow)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(post, served, "k", ACME)
        assert begun.wait(DEADLINE_S)
        waits = post(served, "k", ACME)
        gate.set()
        made = first.result().json()
    assert (waits.status_code, waits.json()["type"]) == (409, "/docs#problem-still-running")
    assert waits.headers["retry-after"] == "1"
    assert post(served, "k", ACME).json() == made


def whole(body: bytes) -> Whole:
    return Whole(201, "application/json", None, body, "tag")


def remember(once: Once, name: str, body: bytes) -> Rendered:
    async def make() -> Rendered:
        return whole(body)

    return asyncio.run(once.answer(("key", "/v1/keys", name), b"same", make))


def everything_in(value: Any, seen: set[int]) -> Iterator[bytes]:
    """Give all bytes and texts that can be reached from a value."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, bytes | str):
        yield value if isinstance(value, bytes) else value.encode()
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from everything_in(name, seen)
            yield from everything_in(member, seen)
    elif hasattr(value, "__struct_fields__"):
        for field in value.__struct_fields__:
            yield from everything_in(getattr(value, field), seen)
    elif hasattr(value, "__dict__"):
        yield from everything_in(vars(value), seen)


def test_a_secret_that_was_answered_is_nowhere_in_what_is_remembered() -> None:
    once = Once(SetClock())
    assert remember(once, "my-idempotency-key", b"the secret") == whole(b"the secret")
    held = list(everything_in(once, set()))
    assert len(held) > 3
    assert not [text for text in held if b"secret" in text or b"my-idempotency-key" in text]
    assert remember(once, "my-idempotency-key", b"another") == whole(b"the secret")


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    once = Once(SetClock(), entries_max=20)
    for number in range(21):
        remember(once, str(number), b"first")
    assert remember(once, "20", b"second") == whole(b"first")
    assert remember(once, "0", b"second") == whole(b"second")


def test_large_answers_are_bounded_by_their_bytes() -> None:
    once = Once(SetClock(), bytes_max=100_000)
    for number in range(6):
        remember(once, str(number), b"x" * 25_000)
    assert remember(once, "0", b"second") == whole(b"second")
