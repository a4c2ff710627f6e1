"""Runs seeds with a planted bug until one of them finds it."""

from pathlib import Path

import pytest

from simulation.run import FailedRunError, run

SEEDS_MAX = 60


def must_be_found(profile: str, expected: str, folder: Path) -> None:
    """Fail unless a seed finds what is wrong, and the checker says what is expected of it."""
    for seed in range(SEEDS_MAX):
        try:
            run(seed, folder / str(seed), profile)
        except FailedRunError as failure:
            print(f"found by seed {seed}: {str(failure).splitlines()[0][:200]}")
            if expected in str(failure):
                return
    pytest.fail(f"{SEEDS_MAX} seeds did not find it")
