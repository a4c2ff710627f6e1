"""The loader: moves the live rows that another engine wrote to a topic into the OLAP store, in batches.

Repeating is harmless: totals are merged by max, users by union. So a batch that failed is sent again as it is, and the
position is committed behind what is stored.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from adtally.counting import MINUTE_MS
from adtally.errors import LogError, StoreUnavailableError
from adtally.olap.port import LiveRows
from adtally.stream.port import StreamReport
from adtally.telemetry import log

ROWS_MAX: Final = 100_000
"""Of one batch, and of what is held in memory."""

BATCH_MS: Final = 500
"""A smaller batch waits for so long."""

RETRY_MS: Final = 1_000
REPORT_MS: Final = 1_000
PANE_MS: Final = 2_000
"""What a checkpoint holds of unfinished panes is in the topic so long after it."""

APPEND_MS: Final = 2_000
"""An event is in the log so long after its time, unless it went to a spool."""

OPEN_MS: Final = 10 * MINUTE_MS
"""Totals are remembered for so long, to tell what is new in them."""

SHARD_PREFIX: Final = "clicks-"
"""Before the partition's number: the log's name of a partition of clicks, so that other engines mean the same shard."""

LATE: Final = "late"
"""Outcome of the one cell of a shard that says how many events were late."""


class LiveMessages(Protocol):
    """Where the rows come from. Offsets are the messages' own."""

    def read(self, messages_max: int) -> Sequence[bytes]:
        """Give what has come, without waiting. Raises LogError, PositionGoneError."""
        ...

    def commit(self) -> None:
        """Restart from behind everything that was given. Raises LogError."""
        ...

    def reached(self) -> Mapping[int, int]:
        """Give the offset that is read next, by partition."""
        ...

    def ends(self) -> Mapping[int, int]:
        """Give the offset that is written next, by partition. Raises LogError."""
        ...


class JobProgress(Protocol):
    """How far the engine has come that writes the rows."""

    def committed(self) -> Mapping[int, int]:
        """Give the next offset of each partition of clicks, as the last checkpoint has it. Raises LogError."""
        ...

    def ends(self) -> Mapping[int, int]:
        """Give the end of each partition of clicks. Raises LogError."""
        ...


class LiveWriter(Protocol):
    """The part of OlapWriter that is needed here."""

    def append_live(self, rows: LiveRows) -> None:
        """Store rows. Raises StoreUnavailableError."""
        ...


class _Row(msgspec.Struct, frozen=True, gc=False):
    """One message: a cell's running total, and the users of the pane that raised it."""

    advertiser_id: str
    campaign_id: str
    ad_id: str
    minute_s: int
    device: str
    outcome: str
    shard: int
    clicks: int
    users: list[str] | None = None


class _Key(NamedTuple):
    advertiser_id: str
    campaign_id: str
    ad_id: str
    minute_s: int
    device: str
    outcome: str
    shard: int


class _Cell:
    __slots__ = ("clicks", "users")

    def __init__(self) -> None:
        self.clicks = 0
        self.users: set[str] = set()


_decode: Final = msgspec.json.Decoder(_Row).decode


class Loader:
    """Advances by `step(now_ms)`; never sleeps, never reads a clock."""

    def __init__(self, messages: LiveMessages, store: LiveWriter, progress: JobProgress) -> None:
        self._messages = messages
        self._store = store
        self._cells: dict[_Key, _Cell] = {}
        self._since_ms: int | None = None
        self._retry_ms: int | None = None
        self._totals = _Totals()
        self._as_of = AsOf(messages, progress)

    def step(self, now_ms: int) -> int:
        """Do what can be done now; give the number of messages that were read. Raises LogError, PositionGoneError."""
        room = ROWS_MAX - len(self._cells)
        messages = self._messages.read(room) if room > 0 else ()
        for message in messages:
            self._take(message)
        if messages and self._since_ms is None:
            self._since_ms = now_ms
        if self._due(now_ms):
            self._write(now_ms)
        if self.idle:
            self._as_of.step(now_ms)
        return len(messages)

    def finish(self, now_ms: int) -> None:
        """Store at once what was read. Raises LogError."""
        if not self.idle:
            self._write(now_ms)

    def report(self, now_ms: int) -> StreamReport:
        """Give how far the rows in the store reach, and what was loaded."""
        return StreamReport(
            as_of_ms=self._as_of.as_of_ms,
            reported_ms=now_ms,
            events=self._totals.events,
            duplicates=self._totals.duplicates,
            late=self._totals.late,
            dead_letters=0,
            dedup_entries=0,
            open_cells=len(self._totals),
            positions={f"{SHARD_PREFIX}{number}": str(offset) for number, offset in self._as_of.committed.items()},
        )

    @property
    def idle(self) -> bool:
        """True if everything that was read is in the store, and committed."""
        return self._since_ms is None

    def _take(self, message: bytes) -> None:
        try:
            row = _decode(message)
        except msgspec.MsgspecError as error:
            # The job's own rows: one that cannot be read is a defect of ours, which the recount puts right.
            log.error("a live row cannot be read", row=message[:500], error=str(error))
            return
        key = _Key(
            row.advertiser_id, row.campaign_id, row.ad_id, row.minute_s, row.device, row.outcome, row.shard
        )  # fmt: skip
        self._totals.take(key, row.clicks)
        if row.outcome == LATE:
            return
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell()
        cell.clicks = max(cell.clicks, row.clicks)
        if row.outcome == "counted" and row.users:
            cell.users.update(row.users)

    def _due(self, now_ms: int) -> bool:
        if self._since_ms is None or (self._retry_ms is not None and 0 < self._retry_ms - now_ms <= RETRY_MS):
            return False
        waited_ms = now_ms - self._since_ms
        return len(self._cells) >= ROWS_MAX or not 0 <= waited_ms < BATCH_MS

    def _write(self, now_ms: int) -> None:
        try:
            if self._cells:
                self._store.append_live(_rows(self._cells))
        except StoreUnavailableError as error:
            log.warning("rows wait for the store", rows=len(self._cells), error=str(error))
            self._retry_ms = now_ms + RETRY_MS
            return
        self._cells, self._since_ms, self._retry_ms = {}, None, None
        try:
            self._messages.commit()
        except LogError as error:
            # Nothing is lost: an older position only means that rows are stored again.
            log.warning("the loader's position was not committed", error=str(error))


class AsOf:
    """Finds the time before which every event is in the store, from offsets alone.

    Where clicks end is read; when the job's checkpoint has passed that, its last panes are waited for; when the rows'
    end, read then, is stored, all that was appended before the first reading is.
    """

    def __init__(self, messages: LiveMessages, progress: JobProgress) -> None:
        self._messages = messages
        self._progress = progress
        self._asked_ms = 0
        self._target: tuple[int, Mapping[int, int]] | None = None
        self._flushed_ms: int | None = None
        self._rows_end: Mapping[int, int] | None = None
        self.as_of_ms = 0
        self.committed: Mapping[int, int] = {}

    def step(self, now_ms: int) -> None:
        """Look on, about once a second. Everything that was read must be in the store."""
        if 0 <= now_ms - self._asked_ms < REPORT_MS:
            return
        self._asked_ms = now_ms
        try:
            self._look(now_ms)
        except LogError as error:
            log.warning("how far the live count has come is not known now", error=str(error))

    def _look(self, now_ms: int) -> None:
        self.committed = self._progress.committed()
        if self._target is None:
            self._target = (now_ms, self._progress.ends())
        target_ms, clicks_end = self._target
        if self._flushed_ms is None:
            if not _passed(self.committed, clicks_end):
                return
            self._flushed_ms = now_ms + PANE_MS
        if self._rows_end is None:
            if now_ms < self._flushed_ms:
                return
            self._rows_end = self._messages.ends()
        if _passed(self._messages.reached(), self._rows_end):
            self.as_of_ms = max(self.as_of_ms, target_ms - APPEND_MS)
            self._target, self._flushed_ms, self._rows_end = None, None, None


class _Totals:
    """What is new in running totals. Old minutes are forgotten."""

    def __init__(self) -> None:
        self._known: dict[_Key, int] = {}
        self._newest_s = 0
        self.events = 0
        self.duplicates = 0
        self.late = 0

    def __len__(self) -> int:
        return len(self._known)

    def take(self, key: _Key, clicks: int) -> None:
        """Take a cell's running total."""
        new = clicks - self._known.get(key, 0)
        if new <= 0:
            return
        self._known[key] = clicks
        self.events += new
        self.duplicates += new if key.outcome == "duplicate" else 0
        self.late += new if key.outcome == LATE else 0
        if key.minute_s > self._newest_s:
            self._newest_s = key.minute_s
            self._known = {
                known: total
                for known, total in self._known.items()
                if known.outcome == LATE or known.minute_s >= self._newest_s - OPEN_MS // 1_000
            }


def _passed(reached: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(reached.get(partition, 0) >= end for partition, end in ends.items())


def _rows(cells: Mapping[_Key, _Cell]) -> LiveRows:
    return LiveRows(
        advertiser_id=[key.advertiser_id for key in cells],
        campaign_id=[key.campaign_id for key in cells],
        ad_id=[key.ad_id for key in cells],
        minute_s=[key.minute_s for key in cells],
        device=[key.device for key in cells],
        outcome=[key.outcome for key in cells],
        shard=[f"{SHARD_PREFIX}{key.shard}" for key in cells],
        clicks=[cell.clicks for cell in cells.values()],
        users=[sorted(cell.users) for cell in cells.values()],
    )
