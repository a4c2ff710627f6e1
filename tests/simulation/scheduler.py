"""Picks what happens next, as a seed decides."""

import random
from collections.abc import Callable, Sequence

from simulation.edge import SimulatedEdge
from simulation.profiles import Profile
from simulation.world import World

Choices = list[tuple[float, Callable[[], None]]]
"""What may happen next, each with its weight."""


Interruptible = tuple[str, Callable[[], object], Sequence[str]]
"""A call, what it is, and the named places that it may come by."""


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

    def _whole_system(self) -> Choices:
        world, profile, disk = self._world, self._profile, self._world.disk
        choices: Choices = [
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

    def _one_edge(self, index: int, edge: SimulatedEdge | None) -> Choices:
        world, profile = self._world, self._profile
        if edge is None:
            return [
                (20, lambda: world.start_edge(index)),
                (4 * profile.kills, lambda: self._kill_edge_starting(index)),
            ]
        actor = f"edge-{index}"
        choices: Choices = [
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

    def _counter(self) -> Choices:
        world, profile, counter = self._world, self._profile, self._world.counter
        if counter is None:
            return [(20, world.start_counter)]
        choices: Choices = [
            (20, lambda: world.note("counter", counter.step(world.clock.now_ms()))),
            (1.5, lambda: world.note("janitor", world.tidy())),
            (profile.restarts, world.kill_counter),
            (profile.restarts, lambda: self._kill_counter_in(lambda: counter.step(world.clock.now_ms()))),
            (profile.restarts, lambda: self._kill_counter_in(world.tidy)),
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
        world.interrupt(*rnd.choice(self._interruptible()))
        world.lose_power()

    def _interruptible(self) -> list[Interruptible]:
        """Give the calls in whose middle power can be lost."""
        world = self._world
        calls: list[Interruptible] = [("nothing", lambda: None, ())]
        for edge in world.running():
            if edge.taken is not None and edge.appended is False:
                calls.append((f"edge-{edge.index} appends", edge.append, ()))
        counter = world.counter
        if counter is not None:
            calls.append(("the counter steps", lambda: counter.step(world.clock.now_ms()), ()))
            calls.append(("the janitor tidies", world.tidy, ()))
        return calls
