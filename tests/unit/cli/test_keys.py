"""`adtally keys`, on the folder alone and through the API."""

from pathlib import Path

import pytest

from adtally.clock import SYSTEM_CLOCK
from adtally.utc import DAY_MS

from .conftest import Run


@pytest.fixture
def ready(run_there: Run, tmp_path: Path) -> Run:
    file = tmp_path / "ads.csv"
    file.write_text("ad_id,advertiser_id,landing_url\na,acme,https://acme.example/\n", encoding="utf-8")
    assert run_there("ads", "import", file).code == 0
    return run_there


def test_a_key_is_printed_alone_so_that_it_can_be_piped(ready: Run) -> None:
    ran = ready("keys", "create", "--advertiser", "acme")
    assert (ran.code, len(ran.out)) == (0, len("adt_live_") + 38 + 1)
    assert "cannot be shown again" in ran.err


def test_a_key_is_printed_as_json(ready: Run) -> None:
    made = ready("keys", "create", "--admin", "--json").json
    assert set(made) == {"key", "key_id", "advertiser_id", "scope", "expires_ms"}
    assert made["advertiser_id"] is None


def test_keys_are_listed_without_their_secret(ready: Run) -> None:
    made = ready("keys", "create", "--advertiser", "acme", "--json").json
    listed = {key["key_id"]: key for key in ready("keys", "list", "--json").json["keys"]}
    assert listed[made["key_id"]]["advertiser_id"] == "acme"
    assert listed[made["key_id"]]["revoked_ms"] is None
    text = ready("keys", "list").out
    assert made["key_id"] in text
    assert made["key"] not in text


def test_a_revoked_key_stays_in_the_list(ready: Run) -> None:
    key_id = ready("keys", "create", "--advertiser", "acme", "--json").json["key_id"]
    assert f"key {key_id} was revoked at 20" in ready("keys", "revoke", key_id).out
    (listed,) = (key for key in ready("keys", "list", "--json").json["keys"] if key["key_id"] == key_id)
    assert listed["revoked_ms"] is not None
    assert ready("keys", "revoke", key_id, "--json").json == listed


def test_a_key_can_be_given_an_end_and_the_list_shows_it(ready: Run) -> None:
    ran = ready("keys", "create", "--advertiser", "acme", "--expires", "90d", "--json").json
    (listed,) = (key for key in ready("keys", "list", "--json").json["keys"] if key["key_id"] == ran["key_id"])
    assert listed["expires_ms"] == ran["expires_ms"]
    assert 0 <= SYSTEM_CLOCK.now_ms() + 90 * DAY_MS - listed["expires_ms"] < 60_000
    assert (listed["scope"], listed["used_ms"]) == ("read", None)
    shown = ready("keys", "list").out
    assert all(word in shown for word in ("scope", "expires", "last used"))
    assert ready("keys", "create", "--admin", "--expires", "soon").code == 2


def test_unknown_advertisers_and_keys_are_answered_with_1(ready: Run) -> None:
    unknown = ready("keys", "create", "--advertiser", "nobody")
    assert (unknown.code, "no advertiser 'nobody'" in unknown.err) == (1, True)
    assert ready("keys", "revoke", "0123456789").code == 1


def test_a_key_is_either_an_admins_or_an_advertisers(run: Run) -> None:
    assert run("keys", "create").code == 2
    assert run("keys", "create", "--admin", "--advertiser", "acme").code == 2


def test_an_admins_key_can_be_made_before_anything_else(run: Run, tmp_path: Path) -> None:
    assert run("keys", "create", "--admin", "--data-dir", tmp_path / "new").code == 0
    assert (tmp_path / "new" / "registry.db").exists()
