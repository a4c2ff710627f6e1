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
from adtally.stream.job_as_of import AsOf
from adtally.stream.port import StreamReport
from adtally.telemetry import log

ROWS_MAX: Final = 100_000
"""Of one batch, and of what is held in memory."""

BATCH_MS: Final = 500
"""A smaller batch waits for so long."""

RETRY_MS: Final = 1_000
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

    def __init__(self, messages: LiveMessages, store: LiveWriter, as_of: AsOf) -> None:
        self._messages = messages
        self._store = store
        self._cells: dict[_Key, _Cell] = {}
        self._since_ms: int | None = None
        self._retry_ms: int | None = None
        self._totals = _Totals()
        self._as_of = as_of

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
            positions={f"{SHARD_PREFIX}{number}": str(offset) for number, offset in self._as_of.positions.items()},
            shards=tuple(sorted(f"{SHARD_PREFIX}{number}" for number in self._as_of.positions)),
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
