"""Fresh OLAP stores, one of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.olap_stores import Store, Stored, chdb, memory


@pytest.fixture(params=[chdb, memory])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stored]:
    opened: Stored = request.param(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def store(stored: Stored) -> Store:
    return stored.store
