"""The ledgers that the contract is tested on."""

from collections.abc import Callable
from pathlib import Path

from adtally.ledger.port import Ledger
from adtally.ledger.sql import SqlLedger
from support.memory_ledger import MemoryLedger

Opened = Callable[[], Ledger]
"""Opens the same ledger anew, as another process would."""


def sqlite(tmp_path: Path) -> Opened:
    return lambda: SqlLedger.open(tmp_path / "ledger.db")


def memory(_: Path) -> Opened:
    ledger = MemoryLedger()
    return lambda: ledger
