"""Picks what happens next where the whole system runs."""

import random
from collections.abc import Callable

from adtally.reconcile.passes import Wanted
from simulation.edge import SimulatedEdge
from simulation.profiles import Profile
from simulation.scheduler import Choices, Scheduler
from simulation.whole import WholeWorld

FAIL_AFTER_MAX = 12


class WholeScheduler(Scheduler):
    """Adds the archiver, the store process and the operators to what may happen."""

    def __init__(self, world: WholeWorld, profile: Profile, rnd: random.Random) -> None:
        super().__init__(world, profile, rnd)
        self._whole = world

    def _whole_system(self) -> Choices:
        world, profile = self._whole, self._profile
        choices = super()._whole_system()
        choices.append((profile.changes, lambda: world.note("operator", world.registry.change())))
        choices.append((profile.losses, world.lose_partition))
        choices.append((profile.imports, world.import_history))
        if world.network.parted or world.tables.fail_after is not None:
            choices.append((8, self._join))
        else:
            choices.append((profile.partings, self._part))
        if world.up:
            choices += self._store()
        return choices

    def _one_edge(self, index: int, edge: SimulatedEdge | None) -> Choices:
        choices = super()._one_edge(index, edge)
        if edge is not None:
            choices.append((1, lambda: self._world.note(f"edge-{index}", edge.look_for_ads())))
        return choices

    def _counter(self) -> Choices:
        world, profile, counter = self._whole, self._profile, self._whole.counter
        choices = super()._counter()
        if counter is not None and counter.archiver is not None:
            archiver = counter.archiver
            choices.append((12, lambda: world.note("archiver", archiver.step(world.clock.now_ms()))))
            choices.append(
                (2 * profile.restarts, lambda: self._kill_counter_in(lambda: archiver.step(world.clock.now_ms())))
            )
        return choices

    def _store(self) -> Choices:
        world, profile, store = self._whole, self._profile, self._whole.store
        if store is None:
            return [(20, world.start_store), (2 * profile.restarts, self._kill_store_starting)]
        return [
            (8, lambda: world.note("store", world.store_steps())),
            (0.5, lambda: world.note("store", store.ask(Wanted(verify=self._rnd.random() < 0.5)))),
            (0.5 * profile.restarts, world.kill_store),
            (2.5 * profile.restarts, self._kill_store_stepping),
        ]

    def _interruptible(self) -> list[tuple[str, Callable[[], object]]]:
        world = self._whole
        calls = super()._interruptible()
        if world.counter is not None and world.counter.archiver is not None:
            archiver = world.counter.archiver
            calls.append(("the archiver steps", lambda: archiver.step(world.clock.now_ms())))
        if world.store is not None:
            calls.append(("the reconciler steps", world.store.step))
        return calls

    def _kill_store_starting(self) -> None:
        self._whole.interrupt("start of the store", self._whole.start_store)
        self._whole.kill_store()

    def _kill_store_stepping(self) -> None:
        assert self._whole.store is not None
        self._whole.interrupt("a step of the reconciler", self._whole.store.step)
        self._whole.kill_store()

    def _part(self) -> None:
        world, rnd = self._whole, self._rnd
        if rnd.random() < 0.4:
            world.network.parted = True
            world.note("network", "does not reach the store")
        else:
            world.tables.fail_after = rnd.randrange(FAIL_AFTER_MAX)
            world.note("store", f"stops answering after {world.tables.fail_after} steps")

    def _join(self) -> None:
        self._whole.network.parted, self._whole.tables.fail_after = False, None
        self._whole.note("network", "reaches the store, which answers")
