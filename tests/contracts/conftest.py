"""Fresh OLAP stores and ledgers, one of each kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy.local.clickhouse import ClickHouse

from adtally.ledger.port import Ledger
from support.ledgers import Opened, postgres, sqlite
from support.ledgers import memory as memory_ledger
from support.olap_stores import Store, Stored, chdb, clickhouse_stored, memory


def server(request: pytest.FixtureRequest, _: Path) -> Stored:
    return clickhouse_stored(request.getfixturevalue("servers").running(ClickHouse))


@pytest.fixture(
    params=[
        pytest.param(lambda _, path: chdb(path), id="chdb"),
        pytest.param(lambda _, path: memory(path), id="memory"),
        pytest.param(server, id="server", marks=pytest.mark.servers),
    ]
)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stored]:
    opened: Stored = request.param(request, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def store(stored: Stored) -> Store:
    return stored.store


@pytest.fixture(params=[sqlite, memory_ledger, pytest.param(postgres, marks=pytest.mark.servers)])
def reopen(request: pytest.FixtureRequest) -> Iterator[Opened]:
    opened: list[Any] = []
    make = request.param(request)

    def open_again() -> Ledger:
        opened.append(make())
        return opened[-1]  # type: ignore[no-any-return]

    yield open_again
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(reopen: Opened) -> Ledger:
    return reopen()
