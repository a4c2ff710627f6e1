"""Registry and ledger of a data folder."""

from typing import TYPE_CHECKING

from adtally.folder import DataFolder

if TYPE_CHECKING:
    from adtally.ledger.sql import SqlLedger
    from adtally.registry.port import Registry


def open_registry(folder: DataFolder) -> "Registry":
    """Open the registry of a data folder, made where it is not there yet. Raises DataFolderError."""
    from adtally.registry.sql import SqlRegistry

    return SqlRegistry.open(folder.registry)


def open_ledger(folder: DataFolder) -> "SqlLedger":
    """Open the ledger of a data folder, made where it is not there yet. Raises DataFolderError."""
    from adtally.ledger.sql import SqlLedger

    return SqlLedger.open(folder.ledger)
