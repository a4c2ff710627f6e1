"""Builds each role out of its adapters: the only place that knows both, and the only one that knows the system's size.

Adapters are imported inside the functions, so that a process loads only what its role needs.
"""

from adtally.config import Config
from adtally.wiring.anew import count_live_anew, follow_rules
from adtally.wiring.backups import take_backup
from adtally.wiring.counter import run_archiver_role, run_counter_role, run_loader_role, run_stream_role
from adtally.wiring.edge import run_edge_role
from adtally.wiring.logs import declared_readers, edge_partition, open_history_import, open_letters, prepare_logs
from adtally.wiring.store import rebuild, run_api_role, run_reconciler_role, run_store_role
from adtally.wiring.stores import frozen_hours, open_ledger, open_registry

__all__ = [
    "count_live_anew",
    "declared_readers",
    "edge_partition",
    "follow_rules",
    "frozen_hours",
    "open_history_import",
    "open_ledger",
    "open_letters",
    "open_registry",
    "owns_store",
    "prepare_logs",
    "rebuild",
    "run_api_role",
    "run_archiver_role",
    "run_counter_role",
    "run_edge_role",
    "run_loader_role",
    "run_reconciler_role",
    "run_store_role",
    "run_stream_role",
    "take_backup",
]


def owns_store(config: Config) -> bool:
    """Tell whether one process owns the OLAP store, and with it API, reconciler and the intake of live rows."""
    return not config.olap.urls
