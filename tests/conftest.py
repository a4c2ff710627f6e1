"""Options of the long hunts; their defaults are what `make test` runs."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.local.clickhouse import ClickHouse, cluster

from support.servers import Servers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-seconds", type=float, default=40.0, help="how long the kill test sends clicks")
    parser.addoption("--kill-rate", type=float, default=2_000.0, help="clicks per second of the kill test")
    parser.addoption("--seed", type=int, default=None, help="replays a seeded test that printed this seed")
    parser.addoption("--simulations", type=int, default=60, help="how many new seeds the simulation runs")
    parser.addoption(
        "--servers", action="store_true", help="runs the tests that need a cluster's servers, and no others"
    )
    parser.addoption("--power-losses", type=int, default=2, help="how often the power is lost under load")
    parser.addoption("--freeze-seconds", type=float, default=22.0, help="how long processes are frozen under load")
    parser.addoption("--damages", type=int, default=1, help="how often bytes of a kind of file are damaged")
    parser.addoption("--history-rows", type=int, default=20_000, help="clicks of the imported history")
    parser.addoption("--history-days", type=int, default=12, help="days that the imported history spans")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Part the tests that need servers from those that do not: each run says what it left to the other one."""
    wanted = bool(config.getoption("--servers"))
    other = [item for item in items if ("servers" in item.keywords) is not wanted]
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
