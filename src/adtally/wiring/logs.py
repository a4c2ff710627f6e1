"""The log of an embedded system: its partitions, who reads them, what is tidied, imports and dead letters."""

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.edge.identity import new_edge_id
from adtally.errors import LogError
from adtally.eventlog.port import IMPORTS, REPLAYED_LETTERS, Partition, is_import
from adtally.folder import DataFolder
from adtally.telemetry import log
from adtally.utc import DAY_MS
from adtally.wiring.stores import open_registry

if TYPE_CHECKING:
    from adtally.history.files import FileIdentity
    from adtally.history.importing import HistoryImport
    from adtally.history.letters import LetterDesk

JANITOR_EVERY_S: Final = 5.0


def edge_partition(index: int) -> Partition:
    """Give the log partition of an edge worker."""
    return Partition(f"edge-{index}")


def declared_readers(partition: Partition) -> tuple[str, ...]:
    """Give the readers of a partition: nothing is removed from the log that one of them has not passed."""
    return ("archiver",) if is_import(partition) else ("archiver", "stream")


def prepare_logs(folder: DataFolder, workers: int) -> None:
    """Tell the log's readers, before anything starts, which workers there will be. Raises LogError.

    A reader then waits for all of them and for no others from its first look on, so that the merged order cannot depend
    on who started first.
    """
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.eventlog.sqlite.writer import SqliteLogWriter

    now_ms = SYSTEM_CLOCK.now_ms()
    folder.log.mkdir(parents=True, exist_ok=True)
    expected = [edge_partition(index) for index in range(workers)]
    for partition in expected:
        SqliteLogWriter.expect(folder.log, partition, new_edge_id(), now_ms)
    for partition in SqliteLogReader(folder.log, "supervisor").partitions():
        # Nobody waits for an import, and one may be running.
        if partition not in expected and not is_import(partition):
            SqliteLogWriter.retire(folder.log, partition, now_ms)


@contextlib.contextmanager
def open_history_import(folder: DataFolder, config: Config, identity: "FileIdentity") -> "Iterator[HistoryImport]":
    """Open the import of one file, which no other import can run beside; at its end it is closed in the log.

    Raises LogError if another one goes on, and DataFolderError.
    """
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.eventlog.sqlite.writer import SqliteLogWriter
    from adtally.history.held import read_held
    from adtally.history.importing import HistoryImport
    from adtally.history.judging import HistoryJudge
    from adtally.registry.replica import SqliteAdReplica

    with contextlib.ExitStack() as stack:
        # Who reads the registry's file alone needs somebody who keeps its write-ahead log open.
        stack.callback(open_registry(folder).close)
        replica = SqliteAdReplica(folder.registry)
        stack.callback(replica.close)
        reader = SqliteLogReader(folder.log, "import")
        stack.callback(reader.close)
        folder.log.mkdir(parents=True, exist_ok=True)
        now_ms = SYSTEM_CLOCK.now_ms()
        writer = SqliteLogWriter.open(folder.log, IMPORTS, identity.edge_id, now_ms, config.log.segment_bytes)
        # Where an import breaks off, the partition's next writer closes it.
        stack.callback(writer.close, None, now_ms)
        held = read_held(reader, IMPORTS, identity.edge_id)
        judge = HistoryJudge(replica, identity, config.edge.counted_agents)
        history = HistoryImport(identity, judge, writer, held, SYSTEM_CLOCK)
        yield history
        now_ms = SYSTEM_CLOCK.now_ms()
        writer.close(history.closing_record(now_ms), now_ms)


def open_letters(folder: DataFolder, config: Config) -> "LetterDesk":
    """Open the dead letters of a data folder. Raises LogError."""
    from adtally.eventlog.sqlite.deadletters import SqliteDeadLetters
    from adtally.eventlog.sqlite.writer import SqliteLogWriter
    from adtally.history.letters import LetterDesk

    def open_writer(edge_id: str, now_ms: int) -> SqliteLogWriter:
        folder.log.mkdir(parents=True, exist_ok=True)
        return SqliteLogWriter.open(folder.log, REPLAYED_LETTERS, edge_id, now_ms, config.log.segment_bytes)

    return LetterDesk(SqliteDeadLetters(folder.dead_letters), open_writer)


@contextlib.contextmanager
def janitor(folder: DataFolder, config: Config) -> Iterator[None]:
    """Checkpoint and retire finished segments, beside whatever goes on."""
    from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired

    ended = threading.Event()

    def tidy() -> None:
        while not ended.wait(JANITOR_EVERY_S):
            try:
                checkpoint_finished(folder.log)
                before_ms = SYSTEM_CLOCK.now_ms() - config.log.retention_days * DAY_MS
                remove_expired(folder.log, declared_readers, before_ms)
            except (LogError, OSError) as error:
                log.error("finished segments were not tidied", error=str(error))

    thread = threading.Thread(target=tidy, name="janitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
