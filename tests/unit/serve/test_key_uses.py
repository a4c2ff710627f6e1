"""When keys were last used, and what that must not cost."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adtally.errors import StoreUnavailableError
from adtally.registry.sql import SqlRegistry
from adtally.serve import key_uses
from adtally.serve.key_uses import KeyUses
from support.embedded import wait_for
from support.serving import NOW_MS, Served, SetClock


class Unwritable(SqlRegistry):
    """A registry that is read as ever, and cannot be written."""

    def note_uses(self, used_ms: Mapping[str, int]) -> None:
        raise StoreUnavailableError("the disk is full")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqlRegistry]:
    registry = SqlRegistry.open(tmp_path / "registry.db")
    yield registry
    registry.close()


def used_ms(registry: SqlRegistry, key_id: str) -> int | None:
    return next(key.used_ms for key in registry.keys() if key.key_id == key_id)  # noqa: SIM118 - no mapping


def test_what_was_used_is_written_at_the_next_turn_and_not_before(registry: SqlRegistry) -> None:
    key_id, uses = registry.create_key(None, 1).key_id, KeyUses(registry, SetClock())
    uses.note(key_id)
    assert used_ms(registry, key_id) is None
    uses.write()
    assert used_ms(registry, key_id) == NOW_MS


def test_a_thread_writes_by_itself(registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_uses, "WRITTEN_EVERY_S", 0.01)
    key_id, uses = registry.create_key(None, 1).key_id, KeyUses(registry, SetClock())
    uses.start()
    uses.note(key_id)
    wait_for(lambda: used_ms(registry, key_id) is not None, 10, "the use is written")
    uses.close()


def test_memory_is_bounded_however_many_keys_are_used(registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_uses, "KEYS_MAX", 3)
    uses = KeyUses(registry, SetClock())
    for number in range(10):
        uses.note(str(number))
    assert len(uses._used_ms) == 3


def test_a_request_marks_its_key_as_used_by_the_end_of_the_application(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        assert served.admin.get("/v1/about").status_code == 200
        assert [key["used_ms"] for key in served.admin.get("/v1/keys").json()["keys"]] == [None]
    registry = SqlRegistry.open(tmp_path / "registry.db")
    assert [key.used_ms for key in registry.keys()] == [NOW_MS]  # noqa: SIM118 - no mapping
    registry.close()


def test_a_registry_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    registry = Unwritable.open(tmp_path / "registry.db")
    with capture_logs() as logged, Served(tmp_path, registry=registry) as served:
        assert served.admin.get("/v1/about").status_code == 200
    assert "could not be written" in str(logged)
