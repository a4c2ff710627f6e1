"""Options of the long hunts; their defaults are what `make test` runs."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.local.clickhouse import ClickHouse, cluster
from hypothesis import HealthCheck, settings

from support.servers import Servers

# The machines are shared: how long an example takes, or is made, says nothing.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-seconds", type=float, default=40.0, help="how long the kill test sends clicks")
    parser.addoption("--kill-rate", type=float, default=2_000.0, help="clicks per second of the kill test")
    parser.addoption("--seed", type=int, default=None, help="replays a seeded test that printed this seed")
    parser.addoption("--simulations", type=int, default=60, help="how many new seeds the simulation runs")
    parser.addoption(
        "--servers", action="store_true", help="runs the tests that need a cluster's servers, and no others"
    )
    parser.addoption("--log-away-seconds", type=float, default=20.0, help="how long the brokers are away")
    parser.addoption("--log-away-rate", type=float, default=1_000.0, help="clicks per second meanwhile")
    parser.addoption("--power-losses", type=int, default=2, help="how often the power is lost under load")
    parser.addoption("--soak-minutes", type=float, default=0.0, help="runs the soak test for so long, and no others")
    parser.addoption("--soak-rate", type=float, default=3_000.0, help="clicks per second of the soak test")
    parser.addoption("--freeze-seconds", type=float, default=22.0, help="how long processes are frozen under load")
    parser.addoption("--overload-seconds", type=float, default=15.0, help="how long too many people come to an edge")
    parser.addoption("--behind-events", type=int, default=100_000, help="events of the hour that counting is behind")
    parser.addoption("--damages", type=int, default=1, help="how often bytes of a kind of file are damaged")
    parser.addoption("--history-rows", type=int, default=20_000, help="clicks of the imported history")
    parser.addoption("--history-days", type=int, default=12, help="days that the imported history spans")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Part the tests that need servers or much time from the others: each run says what it left to the others."""
    servers, soak = bool(config.getoption("--servers")), bool(config.getoption("--soak-minutes"))
    other = [item for item in items if ("servers" in item.keywords, "soak" in item.keywords) != (servers, soak)]
    if other:
        config.hook.pytest_deselected(items=other)
        items[:] = [item for item in items if item not in other]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Give the real servers, each started when it is first asked for."""
    running = Servers(Path(tmp_path_factory.mktemp("servers")))
    yield running
    running.close()


@pytest.fixture(scope="session")
def shard_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ClickHouse]]:
    """Give two ClickHouse servers that are each other's shards; a test that stops one starts it again."""
    started = cluster(Path(tmp_path_factory.mktemp("shards")), 2)
    for server in started:
        server.start()
    yield started
    for server in started:
        server.stop()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given: int | None = request.config.getoption("--seed")
    chosen = secrets.randbelow(2**32) if given is None else given
    print(f"replay with --seed {chosen}")
    return chosen
