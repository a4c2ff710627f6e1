"""The ledgers that the contract is tested on, each in a place of its own."""

from collections.abc import Callable

import pytest

from adtally.ledger.port import Ledger
from adtally.ledger.sql import SqlLedger
from support.databases import postgres_url, sqlite_file
from support.memory_ledger import MemoryLedger

Opened = Callable[[], Ledger]
"""Opens the same ledger anew, as another process would."""


def sqlite(request: pytest.FixtureRequest) -> Opened:
    file = sqlite_file(request)
    return lambda: SqlLedger.open(file)


def postgres(request: pytest.FixtureRequest) -> Opened:
    url = postgres_url(request)
    return lambda: SqlLedger.open(url)


def memory(_: pytest.FixtureRequest) -> Opened:
    ledger = MemoryLedger()
    return lambda: ledger
