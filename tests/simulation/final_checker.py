"""What must hold of lake, ledger and final tables once everything has come to rest."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from adtally.event import Event
from adtally.ledger.port import HourLine, Ledger
from adtally.olap.port import Grain
from adtally.utc import DAY_MS, FOREVER_MS, HOUR_MS, day_of, hour_of, month_after, month_of
from simulation.checker import Appended, Contents, differences, names
from simulation.edge import EventId, Truth
from simulation.store import GRAINS, SimulatedStore, StoreConfig, Tables, at
from support.counts import Cell, Counts, expected_counts
from support.memory_olap import start_of


def check_lake(contents: Contents, store: SimulatedStore, truth: Truth) -> None:
    """Check that the lake holds every event of the log, as it is, in its hour, and nothing else."""
    logged = {each.id: each for each in contents.events}
    found: dict[EventId, Event] = {}
    fields = Event.__struct_fields__
    for hour_ms, files in store.lake.listing().items():
        for file in files:
            for row in store.lake.read(file).to_pylist():
                event = Event(**{name: row[name] for name in fields})
                identity = event.edge_id, event.seq
                assert identity in logged, f"in the lake, but not in the log: {names([identity])}"
                assert event == logged[identity].event, f"other in the lake than in the log: {names([identity])}"
                late = row["append_delay_ms"] == logged[identity].appended_ms - event.ts_ms
                assert late, f"with another time of its append in the lake: {names([identity])}"
                assert hour_of(event.ts_ms) == hour_ms, f"in a wrong hour of the lake: {names([identity])}"
                found[identity] = event
    missing = logged.keys() - found.keys()
    assert not missing, f"in the log, but not in the lake: {names(missing)}"
    assert truth.acknowledged <= found.keys(), "acknowledged, but not in the lake"


def check_final(contents: Contents, store: SimulatedStore, config: StoreConfig, through_ms: int) -> None:
    """Check the final tables against an independent count of the log: the clicks of every hour, day and month."""
    expected = final_counts(contents.events, config.dedup_window_ms)
    for grain in GRAINS:
        wanted = {
            cell: (clicks, frozenset(users))
            for cell, (clicks, users) in rolled_up(expected, grain).items()
            if end_of(grain, cell[3] * 1000) <= through_ms
        }
        held = {
            cell: counted
            for cell, counted in cells_of(store.tables, grain).items()
            if end_of(grain, cell[3] * 1000) <= through_ms
        }
        assert held == wanted, f"the final {grain} numbers are wrong: {differences(held, wanted)}"


def check_ledger(contents: Contents, store: SimulatedStore, config: StoreConfig) -> None:
    """Check that each line adds up, and follows from the one before it."""
    ledger, received = store.ledger, defaultdict[int, int](int)
    for each in contents.events:
        received[hour_of(each.event.ts_ms)] += 1
    lines = {line.hour_ms: line for line in ledger.lines(0, FOREVER_MS)}
    for hour_ms, events in received.items():
        assert hour_ms in lines, f"{at(hour_ms)} has {events} events, and no line"
    for hour_ms in lines:
        history = ledger.history(hour_ms)
        for line in history:
            _check_line(line, ledger)
        for before, after in pairwise(history):
            _check_follows(before, after)
        newest = history[-1]
        hour = at(hour_ms)
        assert newest.state == "final", f"{hour} is {newest.state}: {newest.note}"
        assert newest.missing == 0, f"{hour} misses {newest.missing} events, and the lake has all"
        assert newest.manifest.events == received[hour_ms], f"{hour} had {received[hour_ms]}: {newest.manifest}"
        assert ledger.prepared(hour_ms) is None, f"{hour} still has a line that nobody confirmed"
    _check_spans(ledger, store.tables)
    _check_late(contents, lines, config)


def final_counts(events: Iterable[Appended], window_ms: int) -> Counts:
    """Give what a recount must find: the rules over all events, however late."""
    once = {each.id: each.event for each in events}
    return expected_counts([(event.ts_ms, event) for event in once.values()], window_ms, 0)


def rolled_up(counts: Counts, grain: Grain) -> Counts:
    """Give minutes added up."""
    clicks: dict[Cell, int] = defaultdict(int)
    users: dict[Cell, set[str]] = defaultdict(set)
    for (advertiser, campaign, ad, minute_s, device, outcome), (number, people) in counts.items():
        start_s = minute_s if grain == "minute" else start_of(grain, minute_s)
        cell = advertiser, campaign, ad, start_s, device, outcome
        clicks[cell] += number
        users[cell] |= people
    return {cell: (number, frozenset(users[cell])) for cell, number in clicks.items()}


def cells_of(tables: Tables, grain: Grain) -> Counts:
    """Give what a final table holds."""
    return {tuple(key): (cell.clicks, cell.users) for key, cell in tables.final[grain].items()}  # type: ignore[misc]


def end_of(grain: Grain, ts_ms: int) -> int:
    """Give until when all must be complete for a number at `ts_ms` to be final."""
    if grain in ("minute", "quarter_hour"):
        return hour_of(ts_ms) + HOUR_MS
    return day_of(ts_ms) + DAY_MS if grain == "day" else month_after(month_of(ts_ms))


def _check_line(line: HourLine, ledger: Ledger) -> None:
    hour = f"{at(line.hour_ms)}, revision {line.revision}"
    received = sum(line.final.values())
    assert line.state != "damaged", f"{hour} was called damaged, though no byte was destroyed: {line.note}"
    if line.state == "final":
        assert received == line.manifest.events, f"{hour}: {received} counted of {line.manifest.events} received"
    changed = ledger.changed(line.commit, 0, 1_000_000)
    if changed:
        assert len(changed) == line.keys_differed, f"{hour}: {len(changed)} of {line.keys_differed} keys are listed"
        assert sum(abs(cell.new - cell.old) for cell in changed) == line.difference, (
            f"{hour}: differences do not add up"
        )
        sums: dict[str, int] = defaultdict(int)
        for cell in changed:
            sums[cell.outcome] += cell.new - cell.old
        for outcome, more in sums.items():
            there = line.final.get(outcome, 0) - line.previous.get(outcome, 0)
            assert more == there, f"{hour}: {outcome} went up by {there}, its changed keys by {more}"


def _check_follows(before: HourLine, after: HourLine) -> None:
    hour = at(after.hour_ms)
    assert before.revision <= after.revision <= before.revision + 1, f"{hour}: {after.revision} on {before.revision}"
    if before.revision > 0:
        assert after.previous == before.final, f"{hour}: its old number is not kept: {before.final} {after.previous}"
        changed = after.final != before.final or after.keys_differed > 0
        assert (after.revision > before.revision) == changed, f"{hour}: revision {after.revision} on {before.revision}"


def check_completeness(contents: Contents, ledger: Ledger, settle_ms: int) -> None:
    """Check that no hour was called final before all was there that had been appended when it could be complete.

    Only where no clock was set back. An edge that vanished is waited for no longer than `settle_ms_max`.
    """
    for hour_ms in sorted({hour_of(each.event.ts_ms) for each in contents.events}):
        first = next((line for line in ledger.history(hour_ms) if line.revision > 0), None)
        if first is None or "vanished" in first.note:
            continue
        known = [each for each in contents.events if hour_of(each.event.ts_ms) == hour_ms]
        there = [each.id for each in known if each.appended_ms <= hour_ms + HOUR_MS + settle_ms]
        early = f"{at(hour_ms)} was final with {first.manifest.events} events, when {len(there)} had been appended"
        assert first.manifest.events >= len(there), early


def _check_spans(ledger: Ledger, tables: Tables) -> None:
    for grain in GRAINS:
        said = {span for span in ledger.spans(grain, 0, FOREVER_MS) if span.rows}
        held = set(tables.held(grain))
        assert said == held, f"the ledger says {said ^ held} of the {grain} table, or it holds that"


def _check_late(contents: Contents, lines: Mapping[int, HourLine], config: StoreConfig) -> None:
    late: dict[int, int] = defaultdict(int)
    for each in contents.events:
        late[hour_of(each.event.ts_ms)] += each.appended_ms - each.event.ts_ms > config.lateness_ms
    for hour_ms, line in lines.items():
        assert line.late == late[hour_ms], f"{at(hour_ms)} had {late[hour_ms]} late events, its line says {line.late}"
