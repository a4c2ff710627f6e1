"""Builds each role out of adapters: the only file that knows both."""

from adtally.folder import DataFolder
from adtally.registry.port import Registry
from adtally.registry.sql import SqlRegistry


def open_registry(folder: DataFolder) -> Registry:
    """Open the folder's registry, made and migrated where needed. Raises DataFolderError, StoreUnavailableError."""
    return SqlRegistry.open(folder.registry)
