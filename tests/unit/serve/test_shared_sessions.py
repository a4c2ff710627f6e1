"""Two API servers that keep their sign-in sessions in one place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adtally.clock import Clock
from adtally.registry.sessions import SqlSessions
from adtally.registry.sql import SqlRegistry
from adtally.serve.auth import KeyRing, UnauthenticatedError
from adtally.serve.key_uses import KeyUses
from adtally.serve.sessions import Sessions
from support.serving import NOW_MS, SetClock


class Server:
    def __init__(self, file: Path, clock: Clock) -> None:
        self.registry = SqlRegistry.open(file)
        self.store = SqlSessions.open(file)
        self.uses = KeyUses(self.registry, clock)
        self.sessions = Sessions(self.store, KeyRing(self.registry, clock, self.uses), clock, secure=False)

    def close(self) -> None:
        self.uses.close()
        self.store.close()
        self.registry.close()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def servers(tmp_path: Path, clock: SetClock) -> Iterator[tuple[Server, Server]]:
    made = Server(tmp_path / "registry.db", clock), Server(tmp_path / "registry.db", clock)
    yield made
    for server in made:
        server.close()


def token_of(cookie: str) -> str:
    return cookie.partition("=")[2].partition(";")[0]


def test_who_signed_in_at_one_is_known_to_the_other_and_after_a_restart(
    servers: tuple[Server, Server], tmp_path: Path, clock: SetClock
) -> None:
    key = servers[0].registry.create_key(None, NOW_MS)
    token = token_of(servers[0].sessions.sign_in(key.key, "10.0.0.1"))
    assert servers[1].sessions.look_up(token) == key.key_id
    restarted = Server(tmp_path / "registry.db", clock)
    assert restarted.sessions.look_up(token) == key.key_id
    restarted.close()


def test_who_signs_out_at_one_is_signed_out_of_the_other_within_a_second(
    servers: tuple[Server, Server], clock: SetClock
) -> None:
    key = servers[0].registry.create_key(None, NOW_MS)
    token = token_of(servers[0].sessions.sign_in(key.key, "10.0.0.1"))
    for server in servers:
        server.sessions.look_up(token)
    servers[0].sessions.sign_out(token)
    assert servers[0].sessions.remembered(token) is None
    clock.at_s += 1.01
    assert servers[1].sessions.remembered(token) is None
    with pytest.raises(UnauthenticatedError):
        servers[1].sessions.look_up(token)


def test_nothing_that_is_kept_can_be_used_to_sign_in(servers: tuple[Server, Server], tmp_path: Path) -> None:
    token = token_of(servers[0].sessions.sign_in(servers[0].registry.create_key(None, NOW_MS).key, "10.0.0.1"))
    assert token.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
