"""Data folders that earlier versions wrote open, and answer what they answered then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adtally import __version__
from support.embedded import Embedded, wait_for
from upgrade.questions import HERE, Kept, answers, differences, unpack

VERSIONS = sorted(entry.name for entry in HERE.iterdir() if (entry / "kept.json").exists())
TEN_YEARS_MS = str(10 * 365 * 86_400_000)

pytestmark = pytest.mark.system


def wait_until_the_same(system: Embedded, kept: Kept, said: dict[str, Any]) -> None:
    """Wait until the live count has come as far as it had, and then compare every answer."""
    quality = next(name for name in said if name.startswith("/v1/quality") and "ad_id" not in name)
    params = msgspec.json.decode(quality.partition(" ")[2])
    received = said[quality]["received"]
    wait_for(lambda: system.api("/v1/quality", **params)["received"] == received, 60, f"{received} events are counted")
    found = answers(system, kept)
    wrong = [line for name in said for line in differences(said[name], found.get(name), name)]
    assert not wrong, "\n".join([f"{len(wrong)} answers changed:", *wrong[:20]])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_folder_of_an_earlier_version_answers_what_it_answered_then(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, system = unpack(version, tmp_path)
    assert kept.version == version
    monkeypatch.setenv("ADTALLY_RECONCILE__EVERY_MS", "86400000")
    with monkeypatch.context() as patched:
        # No hour is complete yet, so nothing is recounted that was not.
        patched.setenv("ADTALLY_RECONCILE__SETTLE_MS", TEN_YEARS_MS)
        opened(system, lambda: wait_until_the_same(system, kept, kept.found))

    def settle() -> None:
        system.command("reconcile")
        wait_until_the_same(system, kept, kept.settled)

    opened(system, settle)
    system.command("rebuild", "--yes")
    opened(system, lambda: wait_until_the_same(system, kept, kept.settled))


def opened(system: Embedded, check: Callable[[], None]) -> None:
    system.start()
    try:
        check()
    finally:
        assert system.stop() == 0


def test_a_folder_of_this_version_is_kept() -> None:
    assert __version__ in VERSIONS, "`make keep-folder` makes it, before the version is tagged"


def test_a_changed_number_and_a_lost_member_are_seen() -> None:
    kept = {"metrics": [{"clicks": 3, "status": "final", "revision": 1}], "as_of": "then"}
    same = {"metrics": [{"clicks": 3, "status": "final", "revision": 1, "new": 1}], "as_of": "now"}
    assert not list(differences(kept, same))
    worse: list[Any] = [
        {"metrics": [{"clicks": 4, "status": "final", "revision": 1}]},
        {"metrics": [{"clicks": 3, "status": "provisional", "revision": 1}]},
        {"metrics": [{"clicks": 3, "status": "final", "revision": 2}]},
        {"metrics": [{"clicks": 3, "status": "final"}]},
        {"metrics": []},
        None,
    ]
    for found in worse:
        assert list(differences(kept, found)), found
