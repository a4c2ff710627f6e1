"""What every store of sign-in sessions promises (registry/port.py)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adtally.registry.port import OpenSession, SessionStore
from adtally.registry.sessions import SqlSessions
from adtally.serve.session_memory import MemorySessions
from support.databases import postgres_url, sqlite_file

LATER_MS = 1_000


def memory(_: pytest.FixtureRequest) -> SessionStore:
    return MemorySessions()


def sqlite(request: pytest.FixtureRequest) -> SessionStore:
    return SqlSessions.open(sqlite_file(request))


def postgres(request: pytest.FixtureRequest) -> SessionStore:
    return SqlSessions.open(postgres_url(request))


@pytest.fixture(params=[memory, sqlite, pytest.param(postgres, marks=pytest.mark.servers)])
def store(request: pytest.FixtureRequest) -> Iterator[SessionStore]:
    opened: Any = request.param(request)
    yield opened
    if isinstance(opened, SqlSessions):
        opened.close()


def add(store: SessionStore, name: str, key_id: str = "key", now_ms: int = 0, ends_ms: int = LATER_MS) -> None:
    store.add(OpenSession(name, key_id, ends_ms), now_ms, of_key_max=3, all_max=5)


def found(store: SessionStore, *names: str, now_ms: int = 0) -> list[str]:
    return [name for name in names if store.key_id(name, now_ms) is not None]


def test_a_session_is_found_until_it_ends(store: SessionStore) -> None:
    add(store, "a", "one")
    assert store.key_id("a", LATER_MS - 1) == "one"
    assert store.key_id("a", LATER_MS) is None
    assert store.key_id("b", 0) is None


def test_a_removed_session_is_gone_and_the_others_are_not(store: SessionStore) -> None:
    add(store, "a")
    add(store, "b")
    for _ in range(2):
        store.remove("a")
    assert found(store, "a", "b") == ["b"]


def test_of_one_key_the_newest_are_kept(store: SessionStore) -> None:
    add(store, "other", "other")
    for name in "dbca":
        add(store, name)
    assert found(store, "other", "a", "b", "c", "d") == ["other", "a", "b", "c"]


def test_of_all_the_newest_are_kept(store: SessionStore) -> None:
    for number in range(7):
        add(store, str(number), f"key {number}")
    assert found(store, *"0123456") == ["2", "3", "4", "5", "6"]


def test_what_has_ended_takes_no_place(store: SessionStore) -> None:
    add(store, "first", ends_ms=2 * LATER_MS)
    for name in "ab":
        add(store, name, ends_ms=LATER_MS)
    add(store, "last", now_ms=LATER_MS, ends_ms=2 * LATER_MS)
    assert found(store, "first", "a", "last", now_ms=LATER_MS) == ["first", "last"]


def test_many_who_sign_in_at_once_do_not_lose_each_other(store: SessionStore) -> None:
    names = [f"session {number}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: store.add(OpenSession(name, name, LATER_MS), 0, 3, 100), names))
    assert found(store, *names) == names
