"""Nothing is lost, doubled or invented, whatever happens in whatever order: one seed, one history."""

import secrets
from pathlib import Path

import pytest

from simulation.conftest import seeds_run
from simulation.profiles import PROFILES
from simulation.run import FailedRunError, run

FIXED_SEEDS = range(20)
NEW_SEEDS_MAX = 1 << 32


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "history" in metafunc.fixturenames:
        given: int | None = metafunc.config.getoption("--seed")
        count: int = metafunc.config.getoption("--simulations")
        new = [secrets.randbelow(NEW_SEEDS_MAX) for _ in range(count)]
        seeds_run.extend(new if given is None else [given])
        metafunc.parametrize("history", [*FIXED_SEEDS, *new] if given is None else [given])


def test_every_promise_holds(history: int, tmp_path: Path) -> None:
    run(history, tmp_path / "data")


@pytest.mark.parametrize("kind", PROFILES)
def test_a_seed_replays_exactly_in_every_profile(kind: str, tmp_path: Path) -> None:
    first, again = run(7, tmp_path / "first", kind), run(7, tmp_path / "again", kind)
    assert first == again


@pytest.mark.parametrize("number", range(5))
def test_a_seed_replays_exactly(number: int, tmp_path: Path) -> None:
    first, again = run(number, tmp_path / "first"), run(number, tmp_path / "again")
    assert first == again
    assert run(number + 1, tmp_path / "other") != first


def test_a_failing_run_tells_its_seed_and_how_it_came_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the promise that is never kept")

    monkeypatch.setattr("simulation.run.check_log", never)
    with pytest.raises(FailedRunError) as failure:
        run(7, tmp_path / "data")
    lines = str(failure.value).splitlines()
    assert "never kept" in lines[0]
    assert 20 < len(lines) < 50
    assert lines[-1] == "replay with --seed 7"
