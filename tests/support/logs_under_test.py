"""Event logs as the contract suite sees them: an adapter, and what of it the suite has to know."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

from deploy.local.kafka import Kafka1

from adtally.event import Opening
from adtally.eventlog.kafka.topics import TopicSettings
from adtally.eventlog.kafka.writer import KafkaLogWriter
from adtally.eventlog.port import LogReader, LogWriter, Partition
from adtally.eventlog.spool.writer import SpooledWriter
from adtally.eventlog.sqlite.reader import SqliteLogReader
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from support.kafka_logs import PatientReader, made_log, try_again
from support.memory_log import MemoryLog, MemoryLogWriter

OPENED_MS: Final = 500
"""When writers are opened, as they are told."""


class LogUnderTest:
    """An empty log. Its writers begin with the Opening of their edge."""

    stamps: ClassVar[bool] = False
    """Whether the log stamps the time of an append by itself."""
    events_in: ClassVar[Partition] = Partition("edge-0")
    controls_in: ClassVar[Partition] = Partition("edge-0")
    partitions: ClassVar[tuple[str, ...]] = ("edge-0", "edge-1")
    """That are there once two edges have written, sorted."""

    def __init__(self, folder: Path, fixture: Callable[[str], Any]) -> None:
        self.root = folder / "log"

    def writer(self, edge_id: str = "e1", worker: int = 0, segment_bytes: int = 1 << 20) -> LogWriter:
        raise NotImplementedError

    def reader(self, name: str = "reader") -> LogReader:
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what readers and writers hold."""


class SqliteLog(LogUnderTest):
    def writer(self, edge_id: str = "e1", worker: int = 0, segment_bytes: int = 1 << 20) -> LogWriter:
        return SqliteLogWriter.open(self.root, Partition(f"edge-{worker}"), edge_id, OPENED_MS, segment_bytes)

    def reader(self, name: str = "reader") -> LogReader:
        return SqliteLogReader(self.root, name)


class KafkaLog(LogUnderTest):
    """A topic of its own on the run's one broker, of one partition, so that the order of all events can be told."""

    stamps = True
    events_in = Partition("clicks-0")
    controls_in = Partition("control-0")
    partitions = ("clicks-0", "control-0", "import-0")

    def __init__(self, folder: Path, fixture: Callable[[str], Any]) -> None:
        self.brokers = fixture("servers").running(Kafka1).addresses
        self.topic = f"test-{secrets.token_hex(4)}"
        self._readers: list[PatientReader] = []

    def writer(self, edge_id: str = "e1", worker: int = 0, segment_bytes: int = 1 << 20) -> LogWriter:
        settings = TopicSettings(1, 1, 7)
        made_log(self.brokers, self.topic, settings)
        writer = KafkaLogWriter(self.brokers, self.topic, settings, timeout_ms=10_000)
        try_again(writer.make_topics)
        writer.append_control(Opening(edge_id, OPENED_MS), OPENED_MS)
        return writer

    def reader(self, name: str = "reader") -> LogReader:
        self._readers.append(PatientReader(self.brokers, self.topic, name))
        return self._readers[-1]

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


class SpoolOverMemory(LogUnderTest):
    """A log in memory behind a spool that is never needed."""

    def __init__(self, folder: Path, fixture: Callable[[str], Any]) -> None:
        self._spool = folder / "spool"
        self._log = MemoryLog()

    def writer(self, edge_id: str = "e1", worker: int = 0, segment_bytes: int = 1 << 20) -> LogWriter:
        inner = MemoryLogWriter(self._log, f"edge-{worker}")
        writer, _ = SpooledWriter.open(inner, inner, self._spool / str(worker), edge_id, OPENED_MS, 1 << 20, 100)
        return writer

    def reader(self, name: str = "reader") -> LogReader:
        return self._log.reader(name)
