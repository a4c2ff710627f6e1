"""The spool from a seed: the log is away, or takes what it does not acknowledge, and every step may be the last one."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import adtally.eventlog.spool.drainer
import adtally.eventlog.spool.store
import adtally.eventlog.sqlite.ahead
import adtally.eventlog.sqlite.segment
import adtally.eventlog.sqlite.writer
from adtally.event import Closing, Event, Heartbeat, Lost
from support.disk import SimulatedDisk
from support.spool_far_log import MOODS, Line
from support.spool_world import EventId, World, killing

STEPS = 80
LINES_SHOWN = 60


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make segments and portions so small that a history has many of them, and leave folders' entries to the system."""
    monkeypatch.setattr(adtally.eventlog.spool.store, "SEGMENT_BYTES", 1_500)
    monkeypatch.setattr(adtally.eventlog.spool.drainer, "STEP_BYTES", 1_000)
    for module in (adtally.eventlog.sqlite.writer, adtally.eventlog.spool.store):
        monkeypatch.setattr(module, "sync_folder", lambda folder: None)
    return monkeypatch


def test_what_was_acknowledged_is_in_the_log_at_the_end_whatever_happened(
    tmp_path: Path, seed: int, small: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    histories: int = request.config.getoption("--simulations")
    sums: dict[str, int] = defaultdict(int)
    for number in range(histories):
        world = history(tmp_path / str(number), seed + number, small)
        sums["acknowledged"] += len(world.truth.acknowledged)
        sums["not recorded"] += len(world.truth.doubted)
        sums["killed"] += sum("is killed" in line for line in world.timeline)
        sums["again"] += len(world.log.lines) - len(set(world.log.lines))
    print(dict(sums))
    # A test that loses nothing because nothing happened tests nothing.
    assert min(sums.values()) > histories


def history(folder: Path, seed: int, patch: pytest.MonkeyPatch) -> World:
    """Let a seed's history happen, and check what is left of it."""
    rnd = random.Random(seed)
    disk = SimulatedDisk(f"spool-{seed}", rnd.randrange(1 << 32))

    def sync_file(path: Path) -> None:
        if not disk.sync(str(path)):
            raise OSError("the simulated disk does not sync")

    patch.setattr(adtally.eventlog.sqlite.segment, "sync_file", sync_file)
    patch.setattr(adtally.eventlog.sqlite.ahead, "append_file", lambda path, more: disk.append(str(path), more))
    world = World(folder, disk, rnd, workers=rnd.choice([1, 1, 2]))
    try:
        with capture_logs(), killing(world):
            for _ in range(STEPS):
                happen(world, rnd)
            world.note("all settles")
            world.settle()
        check(world)
    except BaseException as error:
        error.add_note("\n".join(world.timeline[-LINES_SHOWN:]))
        error.add_note(f"replay with --seed {seed}")
        raise
    finally:
        for index in range(len(world.edges)):
            world.kill(index)
        disk.unregister()
    return world


def happen(world: World, rnd: random.Random) -> None:
    """Let one thing happen."""
    index = rnd.randrange(len(world.edges))
    if world.edges[index] is None:
        # A start that a full disk refuses leaves a folder each time: enough of that.
        if rnd.random() < 0.3:
            world.disk.full = world.disk.broken = False
        world.start(index)
        return
    writes = rnd.randrange(12) if rnd.random() < 0.04 else None
    reaches = rnd.randrange(1, 3) if rnd.random() < 0.04 else -1
    world.clock.advance(rnd.choice([0, 1, 30, 300, 2_000]))
    match rnd.choices(range(9), [30, 14, 25, 25, 12, 4, 3, 1, 1])[0]:
        case 0:
            clicks = rnd.randrange(1, 6)
            world.do(index, lambda edge: edge.click(clicks), f"{clicks} clicks", None, -1)
            world.do(index, lambda edge: edge.append(), "appends", writes, reaches)
        case 1:
            world.do(index, lambda edge: edge.beat(), "beats", None, -1)
        case 2:
            world.do(index, lambda edge: edge.append(), "appends", writes, reaches)
        case 3:
            world.do(index, lambda edge: edge.drain(), "drains", writes, reaches)
        case 4:
            world.log.deliver()
            world.log.mood = rnd.choice(MOODS)
            world.note(f"the log is {world.log.mood}")
        case 5:
            world.disk.full, world.disk.broken = rnd.choice(
                [(False, False), (True, False), (False, True), (True, True)]
            )
            world.note(f"the disk is full: {world.disk.full}, does not sync: {world.disk.broken}")
        case 6:
            world.clock.ms -= 3_000
            world.note("the clock jumps back")
        case 7:
            world.lose_power()
        case _:
            world.kill(index)


def check(world: World) -> None:
    """Hold the log against what was answered."""
    truth, lines = world.truth, world.log.lines
    lost = {
        (each.what.edge_id, seq)
        for each in lines
        if isinstance(each.what, Lost)
        for seq in range(each.what.first_seq, each.what.last_seq + 1)
    }
    there = {(each.what.edge_id, each.what.seq) for each in lines if isinstance(each.what, Event)}
    assert truth.acknowledged <= there
    assert not truth.acknowledged & lost
    for edge_id, last_seq in truth.ended.items():
        assert {(edge_id, seq) for seq in range(1, last_seq + 1)} <= there | lost
    assert {who for who in truth.doubted if who[0] in truth.ended} <= there | lost
    firsts = list(first_of_each(lines))
    assert out_of_order(firsts) == []
    assert against_a_promise(lines, lost) == []
    assert behind_a_closing(lines, lost) == []
    closed = {each.what.edge_id for each in lines if isinstance(each.what, Closing)}
    assert {edge_id for edge_id, _ in there} <= closed
    assert not [folder for folder in world.root.iterdir() if folder.is_dir()]


def first_of_each(lines: Sequence[Line]) -> Iterator[Line]:
    """Give each event as it came first, by whichever way that was."""
    seen: set[EventId] = set()
    for each in lines:
        if isinstance(each.what, Event) and (identity := (each.what.edge_id, each.what.seq)) not in seen:
            seen.add(identity)
            yield each


def out_of_order(firsts: Sequence[Line]) -> list[Line]:
    """Give the events that came behind a later one of their edge by the same way."""
    last: dict[tuple[str, str], int] = {}
    found = []
    for each in firsts:
        assert isinstance(each.what, Event)
        way = (each.what.edge_id, each.origin)
        if each.origin != "late" and each.what.seq < last.get(way, 0):
            found.append(each)
        last[way] = max(each.what.seq, last.get(way, 0))
    return found


def against_a_promise(lines: Sequence[Line], lost: set[EventId]) -> list[Line]:
    """Give the events that came after a heartbeat had said that none so old would come any more."""
    bounds: dict[str, int] = {}
    seen: set[EventId] = set(lost)
    found = []
    for each in lines:
        if isinstance(each.what, Heartbeat):
            spooled_ms = each.what.oldest_spooled_ts_ms
            bound_ms = each.what.ts_ms if spooled_ms is None else min(each.what.ts_ms, spooled_ms)
            bounds[each.what.edge_id] = max(bound_ms, bounds.get(each.what.edge_id, 0))
        elif isinstance(each.what, Event) and (each.what.edge_id, each.what.seq) not in seen:
            seen.add((each.what.edge_id, each.what.seq))
            if each.what.ts_ms < bounds.get(each.what.edge_id, 0):
                found.append(each)
    return found


def behind_a_closing(lines: Sequence[Line], lost: set[EventId]) -> list[Line]:
    """Give the events that came after the log of their edge was closed."""
    closed: set[str] = set()
    seen: set[EventId] = set(lost)
    found = []
    for each in lines:
        if isinstance(each.what, Closing):
            closed.add(each.what.edge_id)
        elif isinstance(each.what, Event) and (each.what.edge_id, each.what.seq) not in seen:
            seen.add((each.what.edge_id, each.what.seq))
            if each.what.edge_id in closed:
                found.append(each)
    return found
