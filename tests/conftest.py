"""Options of the long hunts; their defaults are what `make test` runs."""

import secrets

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-seconds", type=float, default=40.0, help="how long the kill test sends clicks")
    parser.addoption("--kill-rate", type=float, default=2_000.0, help="clicks per second of the kill test")
    parser.addoption("--seed", type=int, default=None, help="replays a seeded test that printed this seed")
    parser.addoption("--simulations", type=int, default=60, help="how many new seeds the simulation runs")
    parser.addoption("--history-rows", type=int, default=20_000, help="clicks of the imported history")
    parser.addoption("--history-days", type=int, default=12, help="days that the imported history spans")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given: int | None = request.config.getoption("--seed")
    chosen = secrets.randbelow(2**32) if given is None else given
    print(f"replay with --seed {chosen}")
    return chosen
