"""One run: a seed decides about everything, a scheduler picks what happens next, a checker looks at what is left."""

import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

import adtally.eventlog.sqlite.ahead
import adtally.eventlog.sqlite.janitor
import adtally.eventlog.sqlite.segment
import adtally.eventlog.sqlite.writer
from adtally.config import StreamConfig
from simulation.checker import Contents, check_dead_letters, check_live, check_live_is_bounded, check_log, check_replay
from simulation.edge import Limits, SimulatedEdge
from simulation.world import Sizes, World
from support.disk import SimulatedDisk

LINES_SHOWN = 40
BIG = 1 << 30


class Profile(msgspec.Struct, frozen=True):
    """What a run is like: how often (as weights) what happens, and how far the clock goes."""

    kills: float = 0
    restarts: float = 0
    """Of the counter alone, at rest or in the middle of a call."""
    power: float = 0
    trouble: float = 0
    """Of a full or failing disk."""
    stops: float = 0
    clock_back: float = 0
    pauses_ms: tuple[int, ...] = (0, 1, 7, 40, 300, 1_100)
    long_pauses: float = 1.5
    long_pauses_ms: tuple[int, ...] = (7_000, 20_000, 59_000, 61_000, 119_999, 120_000)
    actions: int = 250


PROFILES = {
    "calm": Profile(restarts=0.2, stops=0.3),
    "kills": Profile(kills=1, restarts=1, stops=0.3),
    "restarts": Profile(restarts=1.5, long_pauses=12, long_pauses_ms=(7_000, 20_000, 40_000), actions=500),
    "stops": Profile(restarts=2, stops=0.25, long_pauses=12, long_pauses_ms=(7_000, 20_000, 40_000), actions=500),
    "power": Profile(kills=0.3, restarts=0.3, power=1.5),
    "crashes": Profile(kills=2, restarts=1, power=3),
    "disk": Profile(kills=0.3, restarts=0.5, trouble=1.5),
    "everything": Profile(kills=0.7, restarts=0.7, power=0.7, trouble=0.7, stops=0.5),
    "clock": Profile(kills=0.7, restarts=0.7, power=0.3, trouble=0.3, stops=0.3, clock_back=2),
}


class FailedRunError(AssertionError):
    """A run that broke a promise: what it was, and how it came to it."""


class Scheduler:
    """Picks what happens next."""

    def __init__(self, world: World, profile: Profile, rnd: random.Random) -> None:
        self._world = world
        self._profile = profile
        self._rnd = rnd

    def act(self) -> None:
        """Let one thing happen."""
        world, rnd = self._world, self._rnd
        choices = self._whole_system()
        for index, edge in enumerate(world.edges):
            choices += self._one_edge(index, edge)
        if world.up:
            choices += self._counter()
        weights = [weight for weight, _ in choices]
        rnd.choices([act for _, act in choices], weights)[0]()

    def _whole_system(self) -> list[tuple[float, Callable[[], None]]]:
        world, profile, disk = self._world, self._profile, self._world.disk
        choices: list[tuple[float, Callable[[], None]]] = [
            (25, lambda: self._pause(profile.pauses_ms)),
            (profile.long_pauses, lambda: self._pause(profile.long_pauses_ms)),
            (profile.clock_back, self._set_clock_back),
        ]
        if disk.full or disk.broken:
            choices.append((6, lambda: self._change_disk(full=False, broken=False)))
        else:
            choices.append((profile.trouble, lambda: self._change_disk(full=True, broken=False)))
            choices.append((profile.trouble, lambda: self._change_disk(full=False, broken=True)))
            choices.append((profile.trouble, lambda: self._change_disk(full=True, broken=True)))
        if world.network.strays:
            choices.append((3, self._stray_arrives))
        if world.up:
            choices.append((profile.power, self._lose_power))
            choices.append((profile.stops, world.stop))
        else:
            workers = self._rnd.choice([1, 2, 3])
            choices.append((40, lambda: world.start(workers)))
            choices.append((3 * profile.power, lambda: self._die_starting(workers)))
        return choices

    def _one_edge(self, index: int, edge: SimulatedEdge | None) -> list[tuple[float, Callable[[], None]]]:
        world, profile = self._world, self._profile
        if edge is None:
            return [
                (20, lambda: world.start_edge(index)),
                (4 * profile.kills, lambda: self._kill_edge_starting(index)),
            ]
        actor = f"edge-{index}"
        choices: list[tuple[float, Callable[[], None]]] = [
            (20, lambda: world.note(actor, f"click: {edge.click(world.crowd.request())}")),
            (5, lambda: world.note(actor, f"heartbeat: {edge.heartbeat()}")),
            (2, lambda: world.note(actor, f"expires: {edge.expire()}")),
            (profile.kills, lambda: world.kill_edge(edge)),
            (profile.stops, lambda: world.stop_edge(edge)),
        ]
        if edge.taken is None:
            choices.append((40 if not edge.commit.empty else 0, lambda: self._take(edge)))
        elif edge.appended is False:
            choices.append((40, lambda: world.note(actor, f"append: {edge.append()}")))
            choices.append((4 * profile.kills, lambda: self._kill_edge_appending(edge)))
        else:
            choices.append((40, lambda: world.note(actor, f"answers: {edge.finish()}")))
        return choices

    def _counter(self) -> list[tuple[float, Callable[[], None]]]:
        world, profile, counter = self._world, self._profile, self._world.counter
        if counter is None:
            return [(20, world.start_counter)]
        choices: list[tuple[float, Callable[[], None]]] = [
            (20, lambda: world.note("counter", counter.step(world.clock.now_ms()))),
            (1.5, lambda: world.note("janitor", counter.tidy())),
            (profile.restarts, world.kill_counter),
            (profile.restarts, lambda: self._kill_counter_in(lambda: counter.step(world.clock.now_ms()))),
            (profile.restarts, lambda: self._kill_counter_in(counter.tidy)),
        ]
        if counter.pump.under_way is not None:
            choices.append((20, lambda: world.note("counter", f"delivers {counter.pump.deliver()}")))
        return choices

    def _pause(self, pauses_ms: tuple[int, ...]) -> None:
        ms = self._rnd.choice(pauses_ms)
        self._world.clock.advance(ms)
        self._world.note("clock", f"+{ms}")

    def _set_clock_back(self) -> None:
        ms = self._rnd.choice([1, 400, 1_000, 1_001, 5_000, 70_000, 200_000])
        self._world.clock.set_back(ms)
        self._world.note("clock", f"-{ms}")

    def _change_disk(self, *, full: bool, broken: bool) -> None:
        self._world.disk.full, self._world.disk.broken = full, broken
        self._world.note("disk", f"full: {full}, syncs fail: {broken}")

    def _stray_arrives(self) -> None:
        self._world.network.arrive()
        self._world.note("store", "gets rows that nobody waits for")

    def _take(self, edge: SimulatedEdge) -> None:
        taken = edge.take()
        if taken is not None:
            self._world.note(f"edge-{edge.index}", f"takes {taken}")

    def _kill_edge_starting(self, index: int) -> None:
        self._world.interrupt(f"start of edge-{index}", lambda: self._world.start_edge(index))
        edge = self._world.edges[index]
        if edge is not None:
            self._world.kill_edge(edge)
        self._world.bury()

    def _kill_edge_appending(self, edge: SimulatedEdge) -> None:
        self._world.interrupt(f"edge-{edge.index} appends", edge.append)
        self._world.kill_edge(edge)

    def _kill_counter_in(self, call: Callable[[], object]) -> None:
        self._world.interrupt("a step of the counter", call)
        self._world.kill_counter()

    def _die_starting(self, workers: int) -> None:
        self._world.interrupt("start of the system", lambda: self._world.start(workers))
        self._world.lose_power()

    def _lose_power(self) -> None:
        """Lose power at rest, or in the middle of somebody's call."""
        world, rnd = self._world, self._rnd
        calls: list[tuple[str, Callable[[], object]]] = [("nothing", lambda: None)]
        for edge in world.running():
            if edge.taken is not None and edge.appended is False:
                calls.append((f"edge-{edge.index} appends", edge.append))
        counter = world.counter
        if counter is not None:
            calls.append(("the counter steps", lambda: counter.step(world.clock.now_ms())))
            calls.append(("the janitor tidies", counter.tidy))
        world.interrupt(*rnd.choice(calls))
        world.lose_power()


def run(seed: int, folder: Path, kind: str | None = None) -> str:
    """Let a seed's history happen and check what is left of it; give the digest of its timeline.

    The seed chooses the profile too, unless `kind` names one.
    Raises FailedRunError with the end of the timeline.
    """
    rnd = random.Random(seed)
    ids = random.Random(rnd.random())
    kind = kind or rnd.choice(list(PROFILES))
    disk = SimulatedDisk(f"simulated-{seed}", rnd.randrange(1 << 32))
    exact = PROFILES[kind].clock_back == 0
    world = World(folder, disk, rnd, _sizes(rnd), in_order=exact)
    world.note("seed", f"{seed}, profile {kind}, {world.sizes}")
    folder.mkdir(parents=True, exist_ok=True)

    def sync_file(path: Path) -> None:
        if not disk.sync(str(path)):
            raise OSError("the simulated disk does not sync")

    def append_file(path: Path, content: bytes) -> int:
        return disk.append(str(path), content)

    with pytest.MonkeyPatch.context() as patch, capture_logs():
        patch.setattr(secrets, "token_hex", lambda count: ids.randbytes(count).hex())
        patch.setattr(time, "sleep", _refuse_to_sleep)
        # What becomes of a folder's entries is not simulated; syncing the real one would only take time.
        for module in (adtally.eventlog.sqlite.writer, adtally.eventlog.sqlite.janitor):
            patch.setattr(module, "sync_folder", lambda folder: None)
        patch.setattr(adtally.eventlog.sqlite.segment, "sync_file", sync_file)
        patch.setattr(adtally.eventlog.sqlite.ahead, "append_file", append_file)
        try:
            scheduler = Scheduler(world, PROFILES[kind], rnd)
            for _ in range(PROFILES[kind].actions):
                scheduler.act()
            world.settle()
            check(world, exact)
        except Exception as error:
            end = world.timeline.end(LINES_SHOWN)
            raise FailedRunError(f"{error!r}\n{end}\nreplay with --seed {seed}") from error
        finally:
            world.bury(*world.edges, world.counter)
            disk.unregister()
    return world.timeline.digest()


def check(world: World, exact: bool) -> None:
    """Check everything that was promised. `exact` live numbers are not to be had if a clock was set back."""
    contents = Contents(world.log_root, world.disk.name)
    check_log(contents, world.truth)
    check_dead_letters(world.log_root.with_name("dead_letters.db"), world.disk.name)
    check_live_is_bounded(contents, world.live.counts())
    if exact:
        check_live(contents, world.live.counts(), world.sizes.stream)
        check_replay(contents, world.log_root, world.disk.name, world.sizes.stream)


def _sizes(rnd: random.Random) -> Sizes:
    limits = Limits(rnd.choice([3, 50]), rnd.choice([1, 4, 50]), rnd.choice([1, 600, 3_000, BIG]))
    stream = StreamConfig(
        flush_ms=rnd.choice([1, 1_000]),
        commit_ms=rnd.choice([1, 5_000]),
        read_bytes_max=rnd.choice([1, 2_000, BIG]),
        dedup_window_ms=rnd.choice([60_000, 120_000]),
        lateness_ms=rnd.choice([0, 10_000, 60_000, 60_000]),
    )
    return Sizes(limits, stream)


def _refuse_to_sleep(seconds: float) -> None:
    raise AssertionError(f"something waits for {seconds} s of real time")
