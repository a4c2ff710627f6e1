"""Data folders that earlier versions wrote open, and answer what they answered then."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adtally import __version__
from adtally.folder import DataFolder
from adtally.ledger.schema import MIGRATIONS as LEDGER
from adtally.registry.schema import MIGRATIONS as REGISTRY
from support.embedded import Embedded, wait_for
from support.older_stores import age, age_letters
from upgrade.questions import HERE, Kept, answers, differences, unpack

VERSIONS = sorted(entry.name for entry in HERE.iterdir() if (entry / "kept.json").exists())
TEN_YEARS_MS = str(10 * 365 * 86_400_000)

pytestmark = pytest.mark.system


def assert_the_same(system: Embedded, kept: Kept, said: dict[str, Any], but: tuple[str, ...] = ()) -> None:
    """Wait until the live count has come as far as it had, and then compare every answer."""
    quality = next(name for name in said if name.startswith("/v1/quality") and "ad_id" not in name)
    params = msgspec.json.decode(quality.partition(" ")[2])
    received = said[quality]["received"]
    wait_for(lambda: system.api("/v1/quality", **params)["received"] == received, 180, f"{received} events are counted")
    found = answers(system, kept)
    wrong = [line for name in said for line in differences(said[name], found.get(name), name)]
    wrong = [line for line in wrong if not any(text in line for text in but)]
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
        opened(system, lambda: assert_the_same(system, kept, kept.found))

    def settle() -> None:
        system.command("reconcile")
        assert_the_same(system, kept, kept.settled)

    opened(system, settle)


def test_a_folder_with_older_stores_is_migrated_and_then_answers_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADTALLY_RECONCILE__EVERY_MS", "86400000")
    kept, system = unpack("0.1.0", tmp_path)
    folder = DataFolder(system.folder)
    age(folder.registry, REGISTRY, 1)
    age(folder.ledger, LEDGER, 1)
    age_letters(folder.dead_letters)
    command = [sys.executable, "-m", "support.older_stores", "make", str(folder.olap), "3"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, check=True, timeout=300)

    # What the first tables could not hold is gone; and an empty store has nothing to compare a revision with.
    gone = (".expires_ms:", ".replayed_ms:", ".note:")

    def check() -> None:
        system.command("reconcile")
        assert_the_same(system, kept, kept.settled, gone)

    opened(system, check)
    copied = {path.parent.name.split("-")[1]: path.name for path in folder.backups.glob("before-*/*")}
    assert copied == {"registry": "registry.db", "ledger": "ledger.db", "deadletters": "deadletters.db"}
    assert system.log.read_text().count("a copy from before is kept") == 3


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
