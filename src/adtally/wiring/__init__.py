"""Builds each role out of its adapters: the only place that knows both, and the only one that knows the system's size.

Adapters are imported inside the functions, so that a process loads only what its role needs.
"""

from adtally.wiring.counter import run_archiver_role, run_counter_role
from adtally.wiring.edge import run_edge_role
from adtally.wiring.logs import declared_readers, edge_partition, open_history_import, open_letters, prepare_logs
from adtally.wiring.store import rebuild, run_store_role
from adtally.wiring.stores import open_ledger, open_registry

__all__ = [
    "declared_readers",
    "edge_partition",
    "open_history_import",
    "open_ledger",
    "open_letters",
    "open_registry",
    "prepare_logs",
    "rebuild",
    "run_archiver_role",
    "run_counter_role",
    "run_edge_role",
    "run_store_role",
]
