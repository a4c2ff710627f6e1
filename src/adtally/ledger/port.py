"""The ledger's port (design section 4): how far the lake reaches, and what was reconciled and with which result.

Hours are named by their start in UTC epoch milliseconds. Every call is one transaction, durable on return; calls block
and may come from any thread or process. All raise StoreUnavailableError if the ledger does not answer.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from adtally.eventlog.port import Partition, Position
from adtally.olap.port import CellDifference, Grain, Span

HourState = Literal["open", "final", "damaged", "frozen"]
"""`open`: numbers are provisional. `final`: recounted and published. `damaged`: events that were there are missing, an
alarm; what was published before stays. `frozen`: raw events were removed on purpose, numbers stay as they are."""

LineKind = Literal["hour", "second pass", "republished"]

CHANGED_KEYS_MAX: Final = 1_000_000
"""Of one line; more are counted and not listed."""


class EdgeMark(msgspec.Struct, frozen=True):
    """What an edge's control records of one hour promise: all numbers up to `last_seq` were given by `ts_ms`."""

    edge_id: str
    hour_ms: int
    partition: Partition
    last_seq: int
    ts_ms: int
    closed: bool = False
    """It said, or its successor found, that nothing follows."""
    oldest_spooled_ts_ms: int | None = None


class Absence(msgspec.Struct, frozen=True):
    """Numbers that are known not to be events of the lake: `first_seq` to `last_seq`, inclusive."""

    edge_id: str
    first_seq: int
    last_seq: int
    reason: Literal["lost", "dead letter", "bad row"]
    ts_ms: int


class ArchiveNote(msgspec.Struct, frozen=True):
    """How far the archiver came in one partition: everything appended before `passed_ms` is in the lake."""

    partition: Partition
    position: Position
    passed_ms: int


class Rules(msgspec.Struct, frozen=True):
    """By what an hour was counted."""

    dedup_window_ms: int
    lateness_ms: int
    verdicts: tuple[str, ...]
    counting_version: int


class Manifest(msgspec.Struct, frozen=True):
    """Which raw events an hour and the window before it hold, whatever files they lie in.

    The number of distinct (edge_id, seq), and an order-free hash of them (hex).
    """

    events: int
    hash: str
    window_events: int
    window_hash: str


class EdgeEvents(msgspec.Struct, frozen=True):
    """One edge's distinct events of one hour."""

    edge_id: str
    first_seq: int
    last_seq: int
    events: int
    hash: str


class HourLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line: what was found about one hour at one time. The newest line of an hour is its state."""

    hour_ms: int
    kind: LineKind = "hour"
    state: HourState
    revision: int
    """0 before the first recount; rises only if numbers change."""
    commit: int = 0
    """Given by the ledger: numbers of all lines ascend."""
    manifest: Manifest
    files: str
    """A fingerprint of the names and sizes of the files that were read, to see cheaply that nothing changed."""
    previous: Mapping[str, int]
    """Events by outcome as they were before: the live table's for revision 1, else the revision's before."""
    final: Mapping[str, int]
    """Events by outcome as recounted."""
    keys_differed: int
    difference: int
    """Sum over all cells of |new - old|."""
    missing: int
    """Numbers that an edge gave and that are neither in the lake nor known to be absent."""
    late: int
    rules: Rules
    engine: str
    started_ms: int
    finished_ms: int
    note: str = ""
    """For people: which edge vanished, which file cannot be read, what to do."""


class LineSummary(msgspec.Struct, frozen=True):
    """Of a line, what every answer of the API goes by: a year of hours is read in a moment."""

    commit: int
    hour_ms: int
    state: HourState
    revision: int
    missing: int
    difference: int


class ArchiveLedger(Protocol):
    """The archiver's side."""

    def note_archived(
        self, notes: Sequence[ArchiveNote], marks: Sequence[EdgeMark], absences: Sequence[Absence]
    ) -> None:
        """Note what a flush made durable. Repeating it, or giving older notes again, changes nothing.

        Of several marks of one (edge, hour) the greatest `last_seq` and `ts_ms` count, and `closed` once said stays.
        """
        ...

    def archive(self) -> list[ArchiveNote]:
        """Give how far the lake reaches in each partition, by partition."""
        ...

    def want_archived(self, now_ms: int) -> None:
        """Ask the archiver to pass what the log holds at `now_ms` soon, instead of at its next regular flush."""
        ...

    def archive_wanted_ms(self) -> int:
        """Give the latest time that was asked for, 0 before the first."""
        ...


class Ledger(ArchiveLedger, Protocol):
    """The reconciler's and the API's side."""

    def line(self, hour_ms: int) -> HourLine | None:
        """Give the newest line of an hour."""
        ...

    def lines(self, start_ms: int, end_ms: int, limit: int = 1_000_000) -> list[HourLine]:
        """Give the newest line of each hour that begins in [start_ms, end_ms), by hour."""
        ...

    def history(self, hour_ms: int) -> list[HourLine]:
        """Give all lines of an hour, oldest first."""
        ...

    def summaries(self, after: int = 0) -> list[LineSummary]:
        """Give the lines with greater numbers than `after` in short, by number.

        Lines become visible in the order of their numbers, so who asks again with the last number misses none.
        """
        ...

    def bounds(self) -> tuple[int, int] | None:
        """Give the first and the last hour that has a line, None without any."""
        ...

    def last_commit(self) -> int:
        """Give the number of the newest line, 0 without any."""
        ...

    def write(
        self,
        line: HourLine,
        edges: Sequence[EdgeEvents] | None = None,
        changed: Sequence[CellDifference] = (),
        spans: Sequence[Span] = (),
        dirty: Sequence[tuple[Grain, int]] = (),
    ) -> int:
        """Add a line and give its number. `edges`, where given, replace what is known of the hour's edges.

        `spans` are published final partitions (an empty one, with no rows, too); `dirty` are the days and months that
        no longer hold what the hours below them do: their spans are forgotten until they are noted again.
        """
        ...

    def prepare(self, line: HourLine, edges: Sequence[EdgeEvents], changed: Sequence[CellDifference]) -> None:
        """Keep a line whose numbers are about to be published, in the place of the hour's prepared one if there is one.

        Until it is confirmed, only `prepared` sees it: a reconciler that died in between finds it again.
        """
        ...

    def prepared(self, hour_ms: int) -> HourLine | None:
        """Give an hour's prepared line."""
        ...

    def confirm(self, hour_ms: int, spans: Sequence[Span], dirty: Sequence[tuple[Grain, int]]) -> int:
        """Write an hour's prepared line, as `write` does, and give its number; 0 if there is none."""
        ...

    def discard(self, hour_ms: int) -> None:
        """Forget an hour's prepared line; again is harmless."""
        ...

    def touch(self, hour_ms: int, files: str) -> None:
        """Note on an hour's newest line that files with another fingerprint hold the same events."""
        ...

    def note_spans(self, spans: Sequence[Span]) -> None:
        """Note published days and months."""
        ...

    def forget_spans(self, grain: Grain, starts_ms: Sequence[int]) -> None:
        """Forget published partitions, which are to be published anew."""
        ...

    def spans(self, grain: Grain, start_ms: int, end_ms: int) -> list[Span]:
        """Give the published partitions of a final table that begin in [start_ms, end_ms), by start."""
        ...

    def changed(self, commit: int, after: int = 0, limit: int = 1_000) -> list[CellDifference]:
        """Give the keys that a line changed, in the order in which they were written, leaving out the first `after`."""
        ...

    def edges(self, hour_ms: int) -> list[EdgeEvents]:
        """Give the edges that have events in an hour, as last recounted, by edge_id."""
        ...

    def marks(self, edge_ids: Sequence[str], before_ms: int) -> list[EdgeMark]:
        """Give for each of the edges its newest mark of an hour before `before_ms`, by edge_id; absent without one."""
        ...

    def marks_of_hour(self, hour_ms: int) -> list[EdgeMark]:
        """Give the marks of one hour, by edge_id."""
        ...

    def open_edges(self) -> list[EdgeMark]:
        """Give the newest mark of each edge that never closed, by edge_id."""
        ...

    def last_seq_before(self, edge_ids: Sequence[str], hour_ms: int) -> dict[str, int]:
        """Give for each edge the greatest number that its events of earlier hours have; absent without any."""
        ...

    def absences(self, edge_ids: Sequence[str]) -> list[Absence]:
        """Give what is known to be absent of the given edges, by edge and number."""
        ...

    def ping(self) -> None:
        """Return if the ledger answers."""
        ...

    def close(self) -> None:
        """Release what the ledger holds open; it is not used afterwards."""
        ...
