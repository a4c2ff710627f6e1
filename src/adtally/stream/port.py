"""What the stream hands on: rows for the live table, and how far it has come."""

from typing import Protocol

import msgspec

from adtally.olap.port import LiveRows


class StreamReport(msgspec.Struct, frozen=True):
    """How far the stream has come, and what it holds. Times are epoch milliseconds."""

    as_of_ms: int
    """Every event that is older and not late is in the live table; 0 before the first flush."""
    reported_ms: int
    events: int
    """Processed since the process started, replayed ones included."""
    duplicates: int
    late: int
    dead_letters: int
    dedup_entries: int
    open_cells: int
    positions: dict[str, str]
    """Where the next event will be read, by partition."""
    repeats: int = 0
    """Events that the log holds more than once, and that were counted before."""
    shards: tuple[str, ...] = ()
    """Of the whole log, those that other streams count too; none where one stream counts all in one order."""


class LiveFlush(msgspec.Struct, frozen=True):
    """One delivery from the stream to the store. Repeating it is harmless."""

    rows: LiveRows
    report: StreamReport


class ShardReport(msgspec.Struct, frozen=True):
    """What is known of one shard: the newest report of whoever counts it."""

    shard: str
    as_of_ms: int
    """The greatest that any report said: a stream that restarts replays what is in the live table already."""
    report: StreamReport


class ReportBoard(Protocol):
    """Puts the reports of several streams together, each of which counts some shards. Thread-safe."""

    def note(self, report: StreamReport) -> None:
        """Note for each shard that the report has a position of. Raises StoreUnavailableError."""
        ...

    def reports(self) -> list[ShardReport]:
        """Give what is known, by shard. Raises StoreUnavailableError."""
        ...

    def forget(self) -> None:
        """Forget all: for when the live table was emptied. Raises StoreUnavailableError."""
        ...


class LiveSink(Protocol):
    """Where a stream delivers its rows."""

    def deliver(self, flush: LiveFlush) -> None:
        """Store the rows; on return readers see them. Raises StoreUnavailableError: then deliver again later."""
        ...
