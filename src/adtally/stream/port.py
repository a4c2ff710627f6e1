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


class LiveFlush(msgspec.Struct, frozen=True):
    """One delivery from the stream to the store. Repeating it is harmless."""

    rows: LiveRows
    report: StreamReport


class LiveSink(Protocol):
    """Where a stream delivers its rows."""

    def deliver(self, flush: LiveFlush) -> None:
        """Store the rows; on return readers see them. Raises StoreUnavailableError: then deliver again later."""
        ...
