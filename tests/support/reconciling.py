"""A lake, a ledger, a store and a reconciler over them, and a history to be counted: for tests of the reconciler."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from adtally.config import LakeConfig, ReconcileConfig
from adtally.counting import COUNTING_VERSION, DEDUP_WINDOW_MS, LATENESS_MS
from adtally.event import VERDICTS, Event
from adtally.eventlog.port import Partition, Position
from adtally.lake.directory import DirectoryLake
from adtally.ledger.port import Absence, ArchiveNote, EdgeMark, HourLine, Ledger, Rules
from adtally.olap.port import EVERYONE, AggregateQuery, Grain, LiveRows, Source
from adtally.reconcile.passes import PassReport, Wanted
from adtally.reconcile.port import Recounter
from adtally.reconcile.reconciler import Parts, Reconciler
from support.counts import Counts
from support.memory_ledger import MemoryLedger
from support.memory_olap import MemoryOlap
from support.olap_stores import Store
from support.plain_recount import FINAL_SCHEMA, Appended, PlainRecounter, lake_table, plain_recount
from support.serving import SetClock

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAY0_MS = 1_795_737_600_000
"""2026-11-27T00:00:00Z"""
RULES = Rules(DEDUP_WINDOW_MS, LATENESS_MS, VERDICTS, COUNTING_VERSION)


def hour(index: int) -> int:
    """Give the start of an hour, counted from DAY0_MS on."""
    return DAY0_MS + index * HOUR_MS


SETTLED_MS = 15 * 60_000


class Backend:
    """Everything behind the log. Events are put into the lake by the test itself, as an archiver would."""

    def __init__(
        self,
        root: Path,
        ledger: Ledger | None = None,
        store: Store | None = None,
        recounter: Recounter | None = None,
        config: ReconcileConfig | None = None,
        lake_config: LakeConfig | None = None,
    ) -> None:
        self.root = root
        self.lake = DirectoryLake(root / "lake")
        self.ledger: Ledger = ledger or MemoryLedger()
        self.store: Store = store or MemoryOlap()
        self.recounter: Recounter = recounter or PlainRecounter()
        self.clock = SetClock(hour(0))
        self.config = config or ReconcileConfig()
        self.lake_config = lake_config or LakeConfig()
        self.events: list[Appended] = []
        self._files = 0
        self.restart()

    def restart(self) -> None:
        """Begin anew as a new process would: with what is kept, and nothing else."""
        parts = Parts(
            self.lake, self.ledger, self.store, self.store, self.recounter, self.clock, self.clock.now_ms,
            self.root / "recount",
        )  # fmt: skip
        self.reconciler = Reconciler(parts, self.config, self.lake_config, RULES)

    def archive(self, events: Iterable[Event], delay_ms: int = 5) -> str:
        """Put events into the lake, a file an hour, and note their edges' numbers; give the last file's name."""
        by_hour: dict[int, list[Appended]] = defaultdict(list)
        for event in events:
            by_hour[event.ts_ms // HOUR_MS * HOUR_MS].append((event, event.ts_ms + delay_ms))
        name = ""
        for hour_ms, appended in sorted(by_hour.items()):
            self.events += appended
            self._files += 1
            name = self.lake.write(hour_ms, f"edge-0-{self._files:08d}", lake_table(appended)).name
            self._mark(hour_ms, appended)
        return name

    def _mark(self, hour_ms: int, appended: Sequence[Appended]) -> None:
        """Note a heartbeat at the end of an hour, and that the edges ended in order."""
        last_seq: dict[str, int] = defaultdict(int)
        for event, _ in appended:
            last_seq[event.edge_id] = max(last_seq[event.edge_id], event.seq)
        marks = [
            EdgeMark(edge, hour_ms, Partition("edge-0"), seq, hour_ms + HOUR_MS - 1, closed=True)
            for edge, seq in last_seq.items()
        ]
        self.ledger.note_archived([], marks, [])

    def lose(self, edge: str, seq: int) -> None:
        """Note that a number could not be kept."""
        self.ledger.note_archived([], [], [Absence(edge, seq, seq, "lost", hour(0))])

    def count_live(self, counts: Counts) -> None:
        """Put counts into the live table."""
        rows = sorted(counts.items())
        names = ("advertiser_id", "campaign_id", "ad_id", "minute_s", "device", "outcome")
        columns: dict[str, list[Any]] = {name: [cell[i] for cell, _ in rows] for i, name in enumerate(names)}
        columns |= {"shard": ["all"] * len(rows), "clicks": [clicks for _, (clicks, _) in rows]}
        self.store.append_live(LiveRows(**columns, users=[sorted(users) for _, (_, users) in rows]))

    def live_of(self, start_ms: int, end_ms: int) -> Counts:
        """Give what a stream that made no mistake would have counted."""
        on_time = [each for each in self.events if each[1] - each[0].ts_ms <= LATENESS_MS]
        return plain_recount(on_time, start_ms, end_ms, RULES).cells

    def run(self, at_ms: int, wanted: Wanted | None = None) -> PassReport:
        """Make a pass at a time at which the archiver has passed the log's end."""
        self.clock.at_ms = at_ms
        self.ledger.note_archived([ArchiveNote(Partition("edge-0"), Position("1"), at_ms)], [], [])
        return self.reconciler.run(wanted or Wanted())

    def final(self, start_ms: int, end_ms: int, table: Grain = "minute") -> dict[tuple[str, ...], tuple[int, int]]:
        """Give clicks and users by campaign, ad, device and outcome, from one final table."""
        query = AggregateQuery(
            EVERYONE,
            (start_ms, end_ms),
            ("advertiser_id", "campaign_id", "ad_id", "device", "outcome"),
            ("clicks", "users"),
            sources=(Source(table, start_ms, end_ms),),
        )
        return {tuple(map(str, row.group)): (row.clicks, row.users) for row in self.store.aggregate(query)}

    def expected(self, start_ms: int, end_ms: int) -> dict[tuple[str, ...], tuple[int, int]]:
        """Give what `final` must be."""
        cells = plain_recount(self.events, start_ms, end_ms, RULES).cells
        clicks: dict[tuple[str, ...], int] = defaultdict(int)
        users: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for (advertiser, campaign, ad, _, device, outcome), (number, some) in cells.items():
            group = (advertiser, campaign, ad, device, outcome)
            clicks[group] += number
            users[group] |= some
        return {group: (clicks[group], len(users[group])) for group in clicks}

    def line(self, index: int) -> HourLine:
        """Give the newest line of an hour."""
        line = self.ledger.line(hour(index))
        assert line is not None, f"hour {index} has no line"
        return line


def history(
    rnd: random.Random, count: int, start_ms: int, end_ms: int, edge: str = "e1", first_seq: int = 1
) -> list[Event]:
    """Give events of one edge in the order of their time: few people and ads, so that there are duplicates."""
    times = sorted(rnd.randrange(start_ms, end_ms) for _ in range(count))
    return [
        Event(
            edge_id=edge,
            seq=first_seq + number,
            ts_ms=ts_ms,
            ad_id=f"ad_{rnd.randrange(3)}",
            campaign_id="spring",
            advertiser_id="acme",
            user_id=f"u{rnd.randrange(6)}",
            device=rnd.choice(["mobile", "desktop"]),
            verdict=rnd.choice(["ok"] * 8 + ["bot", "head"]),
            ip_prefix="192.0.2.0/24",
            user_agent="agent",
            impression_id=rnd.choice([None, f"i{rnd.randrange(40)}"]),
        )
        for number, ts_ms in enumerate(times)
    ]


def without_times(lines: Sequence[HourLine]) -> list[HourLine]:
    """Give lines with what differs from run to run left out."""
    return [msgspec.structs.replace(line, commit=0, started_ms=0, finished_ms=0, engine="") for line in lines]


def three_hours(backend: Backend, rnd: random.Random) -> None:
    """Fill hours 1 to 3, and count them live without a mistake."""
    backend.archive(history(rnd, 300, hour(1), hour(4)))
    backend.count_live(backend.live_of(hour(1), hour(4)))


def check_final(backend: Backend, first: int, behind: int) -> None:
    """See that minutes and quarter hours are what the raw events say."""
    for index in range(first, behind):
        assert backend.final(hour(index), hour(index + 1)) == backend.expected(hour(index), hour(index + 1))
    assert backend.final(hour(first), hour(behind), "quarter_hour") == backend.expected(hour(first), hour(behind))


def spoil(backend: Backend, index: int) -> None:
    """Publish an hour with one cell that is too large, behind the ledger's back."""
    cells = plain_recount(backend.events, hour(index), hour(index + 1), RULES).cells
    rows = [
        dict(zip(FINAL_SCHEMA.names, (*cell, clicks + (number == 0), sorted(users)), strict=True))
        for number, (cell, (clicks, users)) in enumerate(sorted(cells.items()))
    ]
    file = backend.root / "spoiled.parquet"
    pq.write_table(pa.Table.from_pylist(rows, FINAL_SCHEMA), file)
    backend.store.stage([str(file)])
    backend.store.publish_hours([hour(index)])
