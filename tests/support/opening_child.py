"""A process that opens one store, which migrates it, and kills itself where a test wants it.

`python -m support.opening_child ROOT STORE POINT AFTER`: STORE is an attribute of the data folder, or `olap`.
"""

import sys
from pathlib import Path

from adtally import wiring
from adtally.config import Config
from adtally.folder import DataFolder
from adtally.wiring.stores import open_dead_letters, open_store
from support.lake_child import kill_at


def main() -> None:
    """Do what the command line says."""
    root, store, point, after = sys.argv[1:]
    folder, config = DataFolder(Path(root)), Config()
    kill_at(point, int(after))
    if store == "registry":
        wiring.open_registry(folder, config).close()
    elif store == "ledger":
        wiring.open_ledger(folder, config).close()
    elif store == "dead_letters":
        open_dead_letters(folder, config).close()
    else:
        open_store(folder, config).close()


if __name__ == "__main__":
    main()
