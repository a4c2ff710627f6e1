"""Edge workers of one host follow a registry on PostgreSQL together (wiring/ads.py)."""

from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from deploy.local.server import free_port

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, RegistryConfig, Secret
from adtally.errors import StoreUnavailableError
from adtally.folder import DataFolder
from adtally.registry.port import Ad
from adtally.registry.replica import SqliteAdReplica
from adtally.registry.sql import SqlRegistry
from adtally.wiring.ads import ads_file
from support.databases import postgres_url
from support.embedded import wait_for

pytestmark = pytest.mark.servers

WAIT_S_MAX = 120.0


def host(folder: Path, url: str) -> tuple[DataFolder, Config]:
    data = DataFolder(folder)
    data.prepare()
    data.run.mkdir(exist_ok=True)
    return data, Config(registry=RegistryConfig(url=Secret(url)))


def ad(number: int) -> Ad:
    return Ad(f"ad_{number}", "adv_1", "https://shop.example/")


def test_when_the_worker_that_follows_ends_another_one_goes_on(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = postgres_url(request)
    folder, config = host(tmp_path / "data", url)
    with closing(SqlRegistry.open(url)) as registry, ExitStack() as second:
        registry.upsert_ads([ad(1)])
        with ads_file(folder, config):
            replica = SqliteAdReplica(second.enter_context(ads_file(folder, config)))
            second.callback(replica.close)
            registry.upsert_ads([ad(2)])
            wait_for(lambda: replica.find("ad_2") is not None, WAIT_S_MAX, "the first worker follows")
        registry.upsert_ads([ad(3)])
        wait_for(lambda: replica.find("ad_3") is not None, WAIT_S_MAX, "the second worker follows")


def test_a_host_without_a_copy_does_not_start_while_the_registry_is_away(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://adtally:secret-7@127.0.0.1:{free_port()}/adtally"
    begun_s = SYSTEM_CLOCK.monotonic_s()
    with (
        pytest.raises(StoreUnavailableError, match="no copy of the ads") as refused,
        ads_file(*host(tmp_path / "data", url)),
    ):
        pass
    assert "secret-7" not in str(refused.value)
    assert SYSTEM_CLOCK.monotonic_s() - begun_s < WAIT_S_MAX
