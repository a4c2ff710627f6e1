"""The event log, on Kafka or in the data folder: who reads and writes it, what is tidied, imports and dead letters."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, LogConfig
from adtally.edge.identity import new_edge_id
from adtally.errors import LogError
from adtally.event import Opening
from adtally.eventlog.port import IMPORTS, REPLAYED_LETTERS, LogWriter, Partition, is_import
from adtally.folder import DataFolder
from adtally.telemetry import log
from adtally.utc import DAY_MS
from adtally.wiring.ads import ads_file
from adtally.wiring.stores import open_dead_letters, open_registry
from adtally.wiring.threads import beside

if TYPE_CHECKING:
    from adtally.eventlog.kafka.reader import KafkaLogReader
    from adtally.eventlog.kafka.writer import KafkaLogWriter
    from adtally.eventlog.sqlite.reader import SqliteLogReader
    from adtally.history.files import FileIdentity
    from adtally.history.importing import HistoryImport
    from adtally.history.letters import LetterDesk

JANITOR_EVERY_S: Final = 5.0
IMPORT_TIMEOUT_MS: Final = 30_000
"""Nobody waits for a redirect behind an import."""


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


def open_reader(
    folder: DataFolder, config: Config, name: str, wanted: Callable[[Partition], bool] = lambda _: True
) -> "KafkaLogReader | SqliteLogReader":
    """Open the log for a reader's name, over the partitions that it wants."""
    if config.log.brokers:
        from adtally.eventlog.kafka.reader import KafkaLogReader

        return KafkaLogReader(config.log.brokers, config.log.topic, name, wanted)
    from adtally.eventlog.sqlite.reader import SqliteLogReader

    return SqliteLogReader(folder.log, name, wanted=wanted)


def kafka_writer(settings: LogConfig, timeout_ms: int, *, imports: bool = False) -> "KafkaLogWriter":
    """Give a writer to the brokers, of clicks or of imported events."""
    from adtally.eventlog.kafka.topics import TopicSettings
    from adtally.eventlog.kafka.writer import KafkaLogWriter

    topics = TopicSettings(settings.partitions, settings.replicas, settings.retention_days)
    return KafkaLogWriter(settings.brokers, settings.topic, topics, timeout_ms, imports=imports)


def _open_import_writer(
    folder: DataFolder, config: Config, partition: Partition, edge_id: str, now_ms: int
) -> LogWriter:
    """Open a writer of imported events. Raises LogError."""
    if config.log.brokers:
        writer = kafka_writer(config.log, IMPORT_TIMEOUT_MS, imports=True)
        writer.append_control(Opening(edge_id, now_ms), now_ms)
        return writer
    from adtally.eventlog.sqlite.writer import SqliteLogWriter

    folder.log.mkdir(parents=True, exist_ok=True)
    return SqliteLogWriter.open(folder.log, partition, edge_id, now_ms, config.log.segment_bytes)


@contextlib.contextmanager
def open_history_import(folder: DataFolder, config: Config, identity: "FileIdentity") -> "Iterator[HistoryImport]":
    """Open the import of one file, which no other import can run beside; at its end it is closed in the log.

    Raises LogError if another one goes on, and DataFolderError.
    """
    from adtally.history.held import read_held
    from adtally.history.importing import HistoryImport
    from adtally.history.judging import HistoryJudge
    from adtally.registry.replica import SqliteAdReplica

    with contextlib.ExitStack() as stack:
        if not config.registry.url:
            # Who reads the registry's file alone needs somebody who keeps its write-ahead log open.
            stack.callback(open_registry(folder, config).close)
        replica = SqliteAdReplica(stack.enter_context(ads_file(folder, config)))
        stack.callback(replica.close)
        reader = open_reader(folder, config, "import")
        stack.callback(reader.close)
        now_ms = SYSTEM_CLOCK.now_ms()
        writer = _open_import_writer(folder, config, IMPORTS, identity.edge_id, now_ms)
        # Where an import breaks off, the partition's next writer closes it.
        stack.callback(writer.close, None, now_ms)
        held = read_held(reader, IMPORTS, identity.edge_id)
        judge = HistoryJudge(replica, identity, config.edge.counted_agents)
        history = HistoryImport(identity, judge, writer, held, SYSTEM_CLOCK)
        yield history
        now_ms = SYSTEM_CLOCK.now_ms()
        writer.close(history.closing_record(now_ms), now_ms)


def open_letters(folder: DataFolder, config: Config) -> "LetterDesk":
    """Open the dead letters, and what replays them. Raises LogError."""
    from adtally.history.letters import LetterDesk

    return LetterDesk(
        open_dead_letters(folder, config),
        lambda edge_id, now_ms: _open_import_writer(folder, config, REPLAYED_LETTERS, edge_id, now_ms),
    )


def janitor(folder: DataFolder, config: Config) -> contextlib.AbstractContextManager[None]:
    """Checkpoint and retire finished segments, beside whatever goes on."""
    from adtally.eventlog.sqlite.janitor import checkpoint_finished, remove_expired

    def tidy(ended: threading.Event) -> None:
        while not ended.wait(JANITOR_EVERY_S):
            try:
                checkpoint_finished(folder.log)
                before_ms = SYSTEM_CLOCK.now_ms() - config.log.retention_days * DAY_MS
                remove_expired(folder.log, declared_readers, before_ms)
            except (LogError, OSError) as error:
                log.error("finished segments were not tidied", error=str(error))

    return beside("janitor", tidy)
