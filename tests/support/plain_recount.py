"""The recount in plain Python, written another way: each event is held against every other event of its click."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import structs

from adtally.errors import LakeDamagedError, LakeFileGoneError
from adtally.event import Event
from adtally.lake.columns import EVENT_COLUMNS
from adtally.ledger.port import EdgeEvents, Manifest, Rules
from adtally.olap.port import FINAL_COLUMNS
from adtally.reconcile.manifest import events_hash, seqs_hash
from adtally.reconcile.port import HourCount, Recounted, RecountJob
from support.counts import Cell, Counts

HOUR_MS = 3_600_000

Appended = tuple[Event, int]
"""An event, and when it was appended."""


class Plain(NamedTuple):
    """What a recount must give."""

    cells: Counts
    hours: dict[int, HourCount]


def plain_recount(events: Iterable[Appended], start_ms: int, end_ms: int, rules: Rules) -> Plain:
    """Count [start_ms, end_ms); `events` may hold copies, and events from outside."""
    copies: dict[tuple[int, str, int], list[Appended]] = defaultdict(list)
    for event, appended_ms in events:
        copies[event.ts_ms // HOUR_MS * HOUR_MS, event.edge_id, event.seq].append((event, appended_ms))
    chosen = [min(same, key=_content)[0] for same in copies.values()]
    clicks: dict[tuple[Any, ...], list[Event]] = defaultdict(list)
    for event in chosen:
        if event.verdict == "ok":
            clicks[_click(event)].append(event)
    cells: dict[Cell, list[str]] = defaultdict(list)
    outcomes: dict[int, Counter[str]] = defaultdict(Counter)
    for event in chosen:
        if start_ms <= event.ts_ms < end_ms:
            outcome = _outcome(event, clicks[_click(event)], rules.dedup_window_ms)
            minute_s = event.ts_ms // 60_000 * 60
            cells[event.advertiser_id, event.campaign_id, event.ad_id, minute_s, event.device, outcome].append(
                event.user_id
            )
            outcomes[event.ts_ms // HOUR_MS * HOUR_MS][outcome] += 1
    counts = {cell: (len(users), frozenset(users if cell[-1] == "counted" else ())) for cell, users in cells.items()}
    return Plain(counts, {hour: _hour(hour, copies, outcomes, rules) for hour in range(start_ms, end_ms, HOUR_MS)})


def _hour(
    hour: int,
    copies: Mapping[tuple[int, str, int], Sequence[Appended]],
    outcomes: Mapping[int, Mapping[str, int]],
    rules: Rules,
) -> HourCount:
    inside = {identity: same for identity, same in copies.items() if identity[0] == hour}
    edges = _edges((edge_id, seq) for _, edge_id, seq in inside)
    before = _edges(
        (event.edge_id, event.seq)
        for same in copies.values()
        for event, _ in same
        if hour - rules.dedup_window_ms <= event.ts_ms < hour
    )
    late = sum(all(appended - event.ts_ms > rules.lateness_ms for event, appended in same) for same in inside.values())
    manifest = Manifest(
        sum(edge.events for edge in edges), events_hash(edges), sum(edge.events for edge in before), events_hash(before)
    )
    return HourCount(manifest, dict(outcomes.get(hour, {})), late, edges)


def _edges(identities: Iterable[tuple[str, int]]) -> tuple[EdgeEvents, ...]:
    seqs: dict[str, set[int]] = defaultdict(set)
    for edge_id, seq in identities:
        seqs[edge_id].add(seq)
    return tuple(
        EdgeEvents(edge_id, min(found), max(found), len(found), seqs_hash(found))
        for edge_id, found in sorted(seqs.items())
    )


def _outcome(event: Event, same_click: Sequence[Event], window_ms: int) -> str:
    if event.verdict != "ok":
        return event.verdict
    repeats = any(_order(other) < _order(event) and event.ts_ms - other.ts_ms < window_ms for other in same_click)
    return "duplicate" if repeats else "counted"


def _order(event: Event) -> tuple[int, str, int]:
    return event.ts_ms, event.edge_id, event.seq


def _click(event: Event) -> tuple[Any, ...]:
    minute = event.ts_ms // 60_000 if event.impression_id is None else None
    return event.ad_id, event.user_id, event.impression_id, minute


def _content(appended: Appended) -> tuple[Any, ...]:
    """By this the smallest of an event's copies is taken; what cannot differ without a defect stands last."""
    event, appended_ms = appended
    delay_ms = appended_ms - event.ts_ms
    click = (event.ad_id, event.user_id, event.impression_id is None, event.impression_id or "", event.verdict)
    return (event.ts_ms, delay_ms, event.device, event.campaign_id, event.advertiser_id, *click)


def read_events(files: Iterable[str]) -> list[Appended]:
    """Give the events of lake files. Raises LakeFileGoneError, LakeDamagedError."""
    found: list[Appended] = []
    for file in files:
        try:
            rows = pq.read_table(file, page_checksum_verification=True).to_pylist()
        except FileNotFoundError:
            raise LakeFileGoneError(file) from None
        except (OSError, pa.ArrowException) as error:
            raise LakeDamagedError(file, str(error)) from error
        names = Event.__struct_fields__
        found += [(Event(**{name: row[name] for name in names}), row["ts_ms"] + row["append_delay_ms"]) for row in rows]
    return found


def lake_table(events: Iterable[Appended]) -> pa.Table:
    """Give events as a table of the lake."""
    rows = [
        {**{name: getattr(event, name) for name in Event.__struct_fields__}, "append_delay_ms": appended - event.ts_ms}
        for event, appended in events
    ]
    for number, row in enumerate(rows):
        row |= {"partition": "edge-0", "offset": f"{number:020}", "unknown_fields": None}
    return pa.Table.from_pylist(rows, EVENT_COLUMNS).sort_by([("ad_id", "ascending"), ("ts_ms", "ascending")])


def read_cells(files: Iterable[str]) -> Counts:
    """Give what files of FINAL_COLUMNS hold: counts of a cell added up, users united."""
    clicks: Counter[Cell] = Counter()
    users: dict[Cell, set[str]] = defaultdict(set)
    for file in files:
        table = pq.read_table(file)
        assert tuple(table.column_names) == FINAL_COLUMNS
        for row in table.to_pylist():
            *key, number, cell_users = (row[name] for name in FINAL_COLUMNS)
            cell: Any = tuple(key)
            clicks[cell] += number
            users[cell].update(cell_users)
    return {cell: (number, frozenset(users[cell])) for cell, number in clicks.items()}


class PlainRecounter:
    """Implements Recounter."""

    def recount(self, job: RecountJob) -> Recounted:
        plain = plain_recount(read_events(job.files), job.start_ms, job.end_ms, job.rules)
        cells = sorted(plain.cells.items())
        rows = [
            dict(zip(FINAL_COLUMNS, (*cell, clicks, sorted(users)), strict=True)) for cell, (clicks, users) in cells
        ]
        file = Path(job.folder) / "minutes.parquet"
        pq.write_table(pa.Table.from_pylist(rows, FINAL_SCHEMA), file)
        return Recounted((str(file),), plain.hours, "plain Python", 0)

    def manifests(self, job: RecountJob) -> Mapping[int, HourCount]:
        hours = self.recount(job).hours
        return {hour: structs.replace(counted, outcomes={}) for hour, counted in hours.items()}

    def close(self) -> None:
        pass


FINAL_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("advertiser_id", "campaign_id", "ad_id")),
        pa.field("minute_s", pa.int64()),
        pa.field("device", pa.string()),
        pa.field("outcome", pa.string()),
        pa.field("clicks", pa.int64()),
        pa.field("users", pa.list_(pa.string())),
    ]
)
