"""An edge host's copy of the ads follows the registry, whatever happens to either."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from adtally.errors import StoreUnavailableError
from adtally.registry import changes, feed, schema
from adtally.registry.changes import SqlAdSource
from adtally.registry.copy import AdCopy
from adtally.registry.feed import Follower
from adtally.registry.port import Ad, AdTarget, Changes, FeedPlace
from adtally.registry.replica import SqliteAdReplica
from adtally.registry.sql import SqlRegistry
from adtally.sqldb import SqlDatabase


class Switch:
    """A source that can be away."""

    def __init__(self, file: Path) -> None:
        self.source = SqlAdSource(SqlDatabase.open(file, "registry", schema.MIGRATIONS))
        self.away = False

    def _look(self) -> None:
        if self.away:
            raise StoreUnavailableError("the registry does not answer")

    def newest(self) -> FeedPlace:
        self._look()
        return self.source.newest()

    def changes(self, since: FeedPlace, ads_max: int) -> Changes | None:
        self._look()
        return self.source.changes(since, ads_max)

    def ads(self, after: str, limit: int) -> list[Ad]:
        self._look()
        return self.source.ads(after, limit)

    def close(self) -> None:
        self.source.close()


class Host:
    """One edge host that follows one registry, on a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ads.db"
        self.registry_file = folder / "registry.db"
        self.registry = SqlRegistry.open(self.registry_file)
        self.now_ms = 1_000
        self.start()

    def start(self) -> None:
        self.source = Switch(self.registry_file)
        self.follower = Follower(self.source, AdCopy(self.file), seed=1)

    def stop(self) -> None:
        self.follower.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def follow(self) -> None:
        """Step until nothing is left to do."""
        self.now_ms += feed.PAUSE_MS_MAX
        while self.follower.step(self.now_ms):
            pass

    def copied(self) -> dict[str, AdTarget]:
        # The library that wrote it: two in one process take each other's locks away.
        with closing(apsw.Connection(str(self.file))) as raw:
            rows: list[Any] = raw.execute(
                "SELECT ad_id, campaign_id, advertiser_id, landing_url, status FROM ad"
            ).fetchall()
        return {row[0]: AdTarget(*row[1:]) for row in rows}

    def registered(self) -> dict[str, AdTarget]:
        return {
            ad.ad_id: AdTarget(ad.campaign_id, ad.advertiser_id, ad.landing_url, ad.status)
            for ad in self.registry.all_ads()
        }


def ad(ad_id: str, path: str = "") -> Ad:
    return Ad(ad_id, "acme", f"https://acme.example/{path}")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(feed, "PAGE_ADS", 3)
    made = Host(tmp_path)
    yield made
    made.stop()
    made.registry.close()


def test_all_ads_are_copied_and_then_what_changes(host: Host) -> None:
    host.registry.upsert_ads([ad(f"ad_{number}") for number in range(10)])
    host.follow()
    assert host.copied() == host.registered()
    replica = SqliteAdReplica(host.file)
    host.registry.upsert_ads([ad("ad_3", "new"), ad("ad_99")])
    assert replica.find("ad_99") is None
    host.follow()
    assert replica.refresh()
    assert replica.find("ad_99") == AdTarget("", "acme", "https://acme.example/", "active")
    assert host.copied() == host.registered()
    replica.close()


def test_an_empty_registry_is_a_copy_too(host: Host) -> None:
    before = host.follower.filled
    host.follow()
    assert (before, host.follower.filled, host.copied()) == (False, True, {})


def test_a_batch_that_changed_nothing_is_no_change(host: Host) -> None:
    host.registry.upsert_ads([ad("a")])
    before = host.source.newest()
    host.registry.upsert_ads([ad("a")])
    assert host.source.newest() == before


def test_readers_have_the_old_ads_until_the_new_copy_is_whole(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.registry.upsert_ads([ad(f"ad_{number}", "old") for number in range(10)])
    host.follow()
    monkeypatch.setattr(changes, "CHANGED_ADS_KEPT", 5)
    host.registry.upsert_ads([ad(f"ad_{number}", "new") for number in range(10)])
    host.registry.upsert_ads([ad("ad_10", "new")])
    old, new = {"https://acme.example/old"}, {"https://acme.example/new"}
    host.now_ms += feed.POLL_MS
    seen: list[set[str]] = []
    while host.follower.step(host.now_ms):
        seen.append({target.landing_url for target in host.copied().values()})
    assert seen[:5] == [old] * 5
    assert seen[5:] == [new]
    assert host.copied() == host.registered()


def test_a_registry_from_a_backup_is_copied_anew(host: Host) -> None:
    host.registry.upsert_ads([ad("a"), ad("b")])
    host.follow()
    host.registry.close()
    host.stop()
    for file in host.registry_file.parent.glob("registry.db*"):
        file.unlink()
    host.registry = SqlRegistry.open(host.registry_file)
    host.registry.upsert_ads([ad("c"), ad("d")])
    host.start()
    host.follow()
    assert host.copied().keys() == {"c", "d"}


@pytest.mark.parametrize("steps", range(9))
def test_a_follower_that_ends_after_any_step_is_taken_up_by_the_next(host: Host, steps: int) -> None:
    host.registry.upsert_ads([ad(f"ad_{number}") for number in range(10)])
    for _ in range(steps):
        host.follower.step(host.now_ms)
    host.registry.upsert_ads([ad("ad_0", "new"), ad("ad_7", "new")])
    host.restart()
    host.follow()
    assert host.copied() == host.registered()


def test_a_copying_that_was_broken_off_goes_on_where_it_was(host: Host) -> None:
    host.registry.upsert_ads([ad(f"ad_{number}") for number in range(10)])
    for _ in range(3):
        host.follower.step(host.now_ms)
    host.restart()
    assert host.follower.step(host.now_ms)
    with closing(AdCopy(host.file)) as copy:
        assert copy.loading is not None
        assert copy.loading.after == "ad_8"


def test_a_copying_whose_changes_are_gone_begins_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "CHANGED_ADS_KEPT", 0)
    host.registry.upsert_ads([ad(f"ad_{number}") for number in range(10)])
    for _ in range(3):
        host.follower.step(host.now_ms)
    host.registry.upsert_ads([ad("ad_0", "new")])
    host.restart()
    host.follow()
    assert host.copied() == host.registered()


def test_two_followers_of_one_copy_do_no_harm(host: Host) -> None:
    other = Follower(Switch(host.registry_file), AdCopy(host.file), seed=2)
    chosen = random.Random(5)
    for number in range(60):
        host.registry.upsert_ads([ad(f"ad_{chosen.randrange(20)}", str(number))])
        host.now_ms += feed.POLL_MS
        chosen.choice((host.follower, other)).step(host.now_ms)
    host.follow()
    assert host.copied() == host.registered()
    other.close()


def test_whatever_order_of_writes_steps_and_restarts_the_copy_becomes_the_registry(
    host: Host, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "CHANGED_ADS_KEPT", 12)
    chosen = random.Random(seed)
    for number in range(150):
        match chosen.randrange(8):
            case 0:
                host.restart()
            case 1:
                host.source.away = not host.source.away
            case 2 | 3:
                ids = {f"ad_{chosen.randrange(30)}" for _ in range(chosen.randrange(1, 6))}
                host.registry.upsert_ads([ad(ad_id, str(number)) for ad_id in sorted(ids)])
            case _:
                host.now_ms += chosen.randrange(400)
                host.follower.step(host.now_ms)
    host.source.away = False
    host.follow()
    assert host.copied() == host.registered()


def test_without_the_registry_the_copy_goes_on_and_is_asked_for_ever_more_seldom(host: Host) -> None:
    host.registry.upsert_ads([ad("a")])
    host.follow()
    current_ms = host.follower.current_ms
    host.source.away = True
    host.restart()
    host.source.away = True
    asked = 0
    for _ in range(60_000 // 50):
        host.now_ms += 50
        before = host.follower._failures
        host.follower.step(host.now_ms)
        asked += host.follower._failures - before
    assert 6 <= asked <= 15
    host.follower.require_copy()
    replica = SqliteAdReplica(host.file)
    assert replica.find("a") is not None
    replica.close()
    host.source.away = False
    host.follow()
    assert host.follower.trouble == ""
    assert host.follower.current_ms > current_ms


def test_a_first_start_without_the_registry_says_what_to_do(host: Host) -> None:
    host.source.away = True
    host.follower.step(host.now_ms)
    with pytest.raises(StoreUnavailableError, match="Start it once while the registry answers"):
        host.follower.require_copy()


def test_a_clock_that_is_set_back_does_not_stop_the_follower(host: Host) -> None:
    host.follow()
    host.registry.upsert_ads([ad("a")])
    host.now_ms -= 3_600_000
    assert host.follower.step(host.now_ms)


def test_a_copy_of_another_version_is_made_anew(host: Host) -> None:
    host.registry.upsert_ads([ad("a")])
    host.follow()
    host.stop()
    with closing(apsw.Connection(str(host.file))) as raw:
        raw.execute("PRAGMA user_version = 99")
    host.start()
    assert not host.follower.filled
    host.follow()
    assert host.copied() == host.registered()


def test_a_copy_that_cannot_be_written_is_trouble_and_no_end(host: Host) -> None:
    host.registry.upsert_ads([ad("a")])
    with closing(apsw.Connection(str(host.file))) as other:
        host.follower._copy._connection.set_busy_timeout(1)
        other.execute("BEGIN IMMEDIATE")
        assert not host.follower.step(host.now_ms)
        assert "ads.db, this host's copy of the ads, cannot be used" in host.follower.trouble
        other.execute("ROLLBACK")
    host.follow()
    assert host.copied() == host.registered()
