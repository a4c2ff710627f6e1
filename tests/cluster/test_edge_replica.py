"""An edge host's copy of the ads follows a real PostgreSQL: written by many, killed, away at the start."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import pytest
from deploy.local.postgres import Postgres

from adtally.clock import SYSTEM_CLOCK
from adtally.errors import StoreUnavailableError
from adtally.registry import feed
from adtally.registry.changes import SqlAdSource
from adtally.registry.copy import AdCopy
from adtally.registry.feed import Follower
from adtally.registry.port import Ad
from adtally.registry.replica import SqliteAdReplica
from adtally.registry.sql import SqlRegistry
from support.databases import postgres_url
from support.servers import Servers

pytestmark = pytest.mark.servers

WAIT_S_MAX = 60.0


class Following:
    """A host's follower in a thread of its own, as an edge host runs it."""

    def __init__(self, url: str, file: Path) -> None:
        self.follower = Follower(SqlAdSource.connect(url), AdCopy(file))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            if not self.follower.step(SYSTEM_CLOCK.now_ms()):
                self._ended.wait(0.02)
        self.follower.close()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return postgres_url(request)


@pytest.fixture
def registry(url: str) -> Iterator[SqlRegistry]:
    opened = SqlRegistry.open(url)
    yield opened
    opened.close()


def ad(ad_id: str, path: str = "") -> Ad:
    return Ad(ad_id, "acme", f"https://acme.example/{path}")


def wait_until(holds: Callable[[], bool]) -> float:
    """Give the seconds that it took."""
    begun = monotonic()
    while not holds():
        assert monotonic() - begun < WAIT_S_MAX
        sleep(0.005)
    return monotonic() - begun


def path_of(replica: SqliteAdReplica, ad_id: str) -> str | None:
    found = replica.find(ad_id)
    return None if found is None else found.landing_url.removeprefix("https://acme.example/")


def test_a_change_reaches_an_edge(url: str, registry: SqlRegistry, tmp_path: Path) -> None:
    registry.upsert_ads([ad("a")])
    following = Following(url, tmp_path / "ads.db")
    wait_until(lambda: following.follower.filled)
    replica = SqliteAdReplica(tmp_path / "ads.db")
    took_s = []
    for number in range(10):
        registry.upsert_ads([ad("a", str(number))])
        took_s.append(wait_until(lambda number=number: path_of(replica, "a") == str(number)))  # type: ignore[misc]
    print(f"a change was seen after {sorted(took_s)[5]:.2f} s, at the latest after {max(took_s):.2f} s")
    replica.close()
    following.close()


def test_many_writers_at_once_and_no_change_is_missed(
    url: str, registry: SqlRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE_ADS", 50)
    monkeypatch.setattr(feed, "POLL_MS", 1)
    following = Following(url, tmp_path / "ads.db")

    def write(writer: int) -> None:
        own = SqlRegistry.open(url)
        for batch in range(40):
            own.upsert_ads([ad(f"ad_{(batch * 7 + number) % 90}", f"{writer}.{batch}") for number in range(20)])
        own.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    newest = SqlAdSource.connect(url)
    end = newest.newest()
    newest.close()
    wait_until(lambda: following.follower.current_ms > 0 and following.follower.filled)
    following.close()
    follower = Follower(SqlAdSource.connect(url), AdCopy(tmp_path / "ads.db"))
    while follower.step(SYSTEM_CLOCK.now_ms()):
        pass
    assert follower._copy.place == end
    follower.close()
    replica = SqliteAdReplica(tmp_path / "ads.db")
    assert {each.ad_id: each.landing_url for each in registry.all_ads()} == {
        ad_id: found.landing_url for ad_id in (f"ad_{number}" for number in range(90)) if (found := replica.find(ad_id))
    }
    replica.close()


def test_edges_start_and_run_while_postgresql_is_away(
    url: str, registry: SqlRegistry, tmp_path: Path, servers: Servers
) -> None:
    server = servers.running(Postgres)
    registry.upsert_ads([ad("a")])
    first = Following(url, tmp_path / "ads.db")
    wait_until(lambda: first.follower.filled)
    first.close()
    server.kill()
    following = Following(url, tmp_path / "ads.db")
    wait_until(lambda: following.follower.trouble != "")
    following.follower.require_copy()
    replica = SqliteAdReplica(tmp_path / "ads.db")
    assert path_of(replica, "a") == ""
    server.start()
    registry.upsert_ads([ad("a", "after")])
    wait_until(lambda: path_of(replica, "a") == "after")
    replica.close()
    following.close()


def test_the_very_first_start_needs_a_registry_and_says_so(url: str, tmp_path: Path) -> None:
    follower = Follower(SqlAdSource.connect(url), AdCopy(tmp_path / "ads.db"))
    assert not follower.step(SYSTEM_CLOCK.now_ms())
    with pytest.raises(StoreUnavailableError, match="no copy of the ads yet") as caught:
        follower.require_copy()
    assert "is no adtally registry" in str(caught.value)
    follower.close()
