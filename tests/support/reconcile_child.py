"""A process that archives a log and reconciles it with the real engines, and kills itself where a test wants it.

`python -m support.reconcile_child ROOT NOW_MS WORK POINT AFTER`: WORK is `settle` or `rebuild`.
"""

import sys
from pathlib import Path
from random import Random

from adtally import wiring
from adtally.config import Config, LakeConfig
from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.folder import DataFolder
from adtally.lake.archiver import Archiver
from adtally.lake.directory import DirectoryLake
from adtally.olap.chdb import ChdbStore
from adtally.reconcile.chdb.recounter import ChdbRecounter
from adtally.reconcile.passes import Wanted
from adtally.reconcile.reconciler import Parts, Reconciler
from adtally.telemetry import configure_logging
from adtally.wiring.store import rules_of
from support.killing import kill_at
from support.serving import SetClock

CONFIG = Config(lake=LakeConfig(flush_bytes=200_000))


def settle(folder: DataFolder, now_ms: int) -> None:
    """Archive all that the log holds, and reconcile until there is nothing to do."""
    ledger = wiring.open_ledger(folder, Config())
    letters = SqliteDeadLetters(folder.dead_letters)
    lake = DirectoryLake(folder.lake)
    reader = SqliteLogReader(folder.log, "archiver")
    archiver = Archiver(reader, lake, ledger, letters, CONFIG.lake, Random(1))
    for _ in range(100):
        now_ms += 1_000
        if archiver.step(now_ms) == 0:
            break
    assert archiver.close(now_ms)
    store = ChdbStore(folder.olap, 1 << 30)
    store.migrate()
    clock, recounter = SetClock(now_ms), ChdbRecounter()
    parts = Parts(lake, ledger, store, store, recounter, clock, clock.now_ms, folder.run / "recount")
    reconciler = Reconciler(parts, CONFIG.reconcile, CONFIG.lake, rules_of(CONFIG))
    commit = -1
    while commit != ledger.last_commit():
        commit = ledger.last_commit()
        report = reconciler.run(Wanted(verify=True))
        assert report.failures == ()
    recounter.close()
    store.close()


def main() -> None:
    """Do what the command line says."""
    root, now_ms, work, point, after = sys.argv[1:]
    configure_logging("reconcile")
    kill_at(point, int(after))
    folder = DataFolder(Path(root))
    if work == "settle":
        settle(folder, int(now_ms))
    else:
        report = wiring.rebuild(folder, CONFIG, lambda done, total: None)
        assert report.failures == ()


if __name__ == "__main__":
    main()
