"""The event log's port: an append-only, partitioned log of events and control records (design section 4).

Kafka and Kinesis stand behind the same port as SQLite, so a position is opaque and partitions are assigned to a reader,
not negotiated.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NewType, Protocol

import msgspec

from adtally.event import Control

Position = NewType("Position", str)
"""Names one event of a partition. Opaque; orders as bytes within its partition; safe in a file name."""

BEGINNING = Position("")
"""Sorts before every position: read from the first record that the partition still holds."""

Partition = NewType("Partition", str)

SHARED_PREFIX: Final = "clicks-"
"""Begins the names of partitions that many edges write: an edge's events lie in all of them."""
CONTROLS: Final = Partition("control-0")
"""Holds the control records of those edges whose events lie in shared partitions."""
IMPORT_PREFIX: Final = "import-"
IMPORTS: Final = Partition(f"{IMPORT_PREFIX}0")
"""Holds the events of imported files."""
REPLAYED_LETTERS: Final = Partition(f"{IMPORT_PREFIX}letters")
"""Holds the events of mended dead letters."""


def is_shared(partition: Partition) -> bool:
    """Tell whether many edges write a partition: what stands between two events of one edge tells nothing then.

    Their control records are in another partition.
    """
    return partition.startswith(SHARED_PREFIX)


def shard_number(partition: Partition) -> int | None:
    """Give the number of a shared partition, None for any other: control records, imports, an edge's own."""
    number = partition.removeprefix(SHARED_PREFIX)
    return int(number) if number != partition and number.isdecimal() else None


def is_import(partition: Partition) -> bool:
    """Tell whether a partition holds imported events, which are late by definition.

    The lake and the recount take them as any others. The stream must not even see them: they are not counted live, and
    nobody waits for their writers.
    """
    return partition.startswith(IMPORT_PREFIX)


class Record(msgspec.Struct, frozen=True):
    """What the log gives back for one append: a micro-batch of events, a control record, or damage.

    `payload` is JSON objects joined by line feeds for `events`, one JSON object for `control`, and whatever bytes could
    still be read for `damaged` (then `reason` says what is wrong). `appended_ms` is the time of the append, the same
    for all events of the record; where a log stamps it by itself, events that were appended together may come in
    several records, and others in one. `skip` events at the start of the payload lie before the position that was asked
    for.
    """

    partition: Partition
    kind: Literal["events", "control", "damaged"]
    appended_ms: int
    payload: bytes
    at: Position
    """The position of the payload's first event, `skip` ones included."""
    next: Position
    """The position after the payload's last event: where a reader that finished it would restart."""
    skip: int = 0
    reason: str = ""


class LogWriter(Protocol):
    """Appends for one edge worker. Not thread-safe: one caller at a time."""

    def append(self, events: Sequence[bytes], now_ms: int) -> None:
        """Append encoded events as one batch, durably: on return they survive the loss of power, or of a broker.

        `now_ms` is the time of the append, unless the log stamps it by itself. Raises LogError where durability cannot
        be claimed; the writer stays usable. In a log of files what failed is found only if the process or the machine
        dies in this very moment. On Kafka any of its events may be found, until long after: so a number whose append
        failed may be reported lost and still be there, and an event that is appended again may be there twice. Whatever
        counts takes each (edge_id, seq) once, and an event before a loss.
        """
        ...

    def append_control(self, record: Control, now_ms: int) -> None:
        """Append one control record, as durable as events are. Raises LogError."""
        ...

    def append_together(self, events: Sequence[bytes], records: Sequence[Control], now_ms: int) -> None:
        """Append encoded events as one batch (none, if there are none) and control records behind it.

        All is durable on return, as `append` has it. The records are never found without the events; the events are
        found without the records only where that is harmless: in a log without transactions, if the append fails or the
        process dies between the two. Raises LogError.
        """
        ...

    def close(self, closing: Control | None, now_ms: int) -> None:
        """Append `closing` if given, and release the partition. Later calls raise LogClosedError."""
        ...


class SpoolState(msgspec.Struct, frozen=True):
    """What an edge holds back on its own disk while its log is away."""

    size_bytes: int = 0
    """Of the disk."""
    oldest_ts_ms: int | None = None
    """The time of the oldest event that is held back, a second earlier at most; None where none is known of."""
    drained_events: int = 0
    """That were moved from the spool into the log since the start."""
    full: bool = False
    """Whether there was no room for what came last."""


class LogReader(Protocol):
    """Reads partitions and remembers, by the reader's name, where it would restart."""

    def partitions(self) -> list[Partition]:
        """Give the partitions that exist now, sorted; a log far away is asked every few seconds.

        Raises LogError while a log that was never reached does not answer.
        """
        ...

    def read(self, partition: Partition, start: Position, bytes_max: int) -> list[Record]:
        """Give the records from `start` on, in the log's order, until about `bytes_max` bytes; empty at the end.

        At least one record is given where there is one: an empty answer says that the end was looked for just now, and
        that all appends which returned before then were read. Raises PositionGoneError if `start` was removed by
        retention, and LogError if the log cannot be read now (try again).
        """
        ...

    def position_of(self, record: Record, index: int) -> Position:
        """Give the position of event `index` (counted with the skipped ones) of an `events` record."""
        ...

    def committed(self) -> dict[Partition, Position]:
        """Give the committed restart position of each partition; a partition without one is absent.

        Raises LogError.
        """
        ...

    def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Remember durably, all or nothing, from where this reader would restart. Raises LogError."""
        ...


class DeadLetter(msgspec.Struct, frozen=True):
    """Bytes of the log that are no event: kept with their place and reason, so that they can be mended."""

    partition: Partition
    position: Position
    reason: str
    payload: bytes
    found_ms: int
    replayed_ms: int | None = None
    """When it was last appended to the log again, as it is or mended; None if never."""


class DeadLetters(Protocol):
    """Keeps what could not be parsed. Putting the same (partition, position) again changes nothing. Thread-safe."""

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Keep letters durably. Raises LogError."""
        ...

    def list(self, limit: int, after: tuple[Partition, Position] | None = None) -> list[DeadLetter]:
        """Give the first `limit` letters by (partition, position), those behind `after` if given. Raises LogError."""
        ...

    def get(self, partition: Partition, position: Position) -> DeadLetter:
        """Give one letter. Raises NotFoundError and LogError."""
        ...

    def mark_replayed(self, partition: Partition, position: Position, now_ms: int) -> None:
        """Note durably that a letter was appended to the log again. Raises LogError."""
        ...

    def count(self) -> int:
        """Give the number of letters that are kept, replayed ones too."""
        ...

    def waiting(self) -> int:
        """Give the number of letters that were never replayed. Raises LogError."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...
