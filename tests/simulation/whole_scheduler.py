"""Picks what happens next where the whole system runs."""

import random

from adtally.reconcile.passes import Wanted
from simulation.edge import SimulatedEdge
from simulation.profiles import Profile
from simulation.scheduler import Choices, Interruptible, Scheduler
from simulation.whole import WholeWorld

FAIL_AFTER_MAX = 12
HOURS_MS = (61_000, 1_200_000, 1_800_000, 3_000_000, 3_600_000, 5_400_000)
LAKE_PLACES = ("lake.written", "lake.renamed")
ARCHIVER_PLACES = (
    *LAKE_PLACES, "archiver.written", "archiver.buried", "archiver.noted", "archiver.committed",
)  # fmt: skip
RECONCILER_PLACES = (
    *LAKE_PLACES, "lake.replaced", "lake.removed", "reconcile.recounted", "reconcile.staged", "reconcile.prepared",
    "reconcile.published", "reconcile.confirmed", "reconcile.noted", "reconcile.decided", "reconcile.day_noted",
    "reconcile.month_noted",
)  # fmt: skip


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
            choices.append((profile.hours, self._hours_pass))
            choices += self._store()
        return choices

    def _one_edge(self, index: int, edge: SimulatedEdge | None) -> Choices:
        choices = super()._one_edge(index, edge)
        if edge is not None:
            choices.append((1, lambda: self._world.note(f"edge-{index}", edge.look_for_ads())))
        return choices

    def _counter(self) -> Choices:
        world, profile = self._whole, self._profile
        choices = super()._counter()
        if world.counter is not None:
            choices.append((8, lambda: world.note("archiver", world.archiver_steps())))
            choices.append((2 * profile.restarts, self._kill_archiver_stepping))
        return choices

    def _store(self) -> Choices:
        world, profile, store = self._whole, self._profile, self._whole.store
        if store is None:
            return [(20, world.start_store), (2 * profile.restarts, self._kill_store_starting)]
        return [
            (4, lambda: world.note("store", world.store_steps())),
            (0.5, lambda: world.note("store", store.ask(Wanted(verify=self._rnd.random() < 0.5)))),
            (0.5 * profile.restarts, world.kill_store),
            (2.5 * profile.restarts, self._kill_store_stepping),
        ]

    def _interruptible(self) -> list[Interruptible]:
        world = self._whole
        calls = super()._interruptible()
        if world.counter is not None:
            calls.append(("the archiver steps", world.archiver_steps, ARCHIVER_PLACES))
        if world.store is not None:
            calls.append(("the reconciler steps", world.store.step, RECONCILER_PLACES))
        return calls

    def _hours_pass(self) -> None:
        """Let time pass in which everybody does what there is to do, and may die of it."""
        world, rnd = self._whole, self._rnd
        ms = rnd.choice(HOURS_MS)
        world.clock.advance(ms)
        world.note("clock", f"+{ms}, and everybody works")
        for index, edge in enumerate(world.edges):
            if edge is None and rnd.random() < 0.8:
                world.start_edge(index)
        for edge in world.running():
            if rnd.random() < 0.15:
                # It sleeps, and with it what it has taken.
                continue
            edge.heartbeat()
            while edge.work():
                pass
        work = [(self._count, self._kill_counter_stepping)] * 3 + [(self._tidy, self._kill_tidying)]
        archive = (self._archive, self._kill_archiver_stepping)
        if rnd.random() < 0.25:
            # It does not get to do anything: readers of the log differ in how far they are.
            archive = (self._pause_for_flush, self._pause_for_flush)
        work += [archive, (self._pause_for_flush, self._pause_for_flush), archive]
        work += [(self._reconcile, self._kill_store_stepping), (self._pause_for_pass, self._pause_for_pass)]
        work += [(self._reconcile, self._kill_store_stepping)]
        victim = rnd.choices(range(len(work)), [1, 1, 1, 1, 3, 0, 3, 6, 0, 2])[0]
        fate = rnd.random()
        for index, (call, kill) in enumerate(work):
            if index == victim and fate < 0.5 * self._profile.restarts:
                kill()
            elif index == victim and fate > 1 - 0.25 * self._profile.power:
                self._lose_power()
                return
            else:
                call()

    def _needs_counter(self) -> bool:
        """Start the counter if it does not run; tell whether it does."""
        if self._whole.counter is None:
            self._whole.start_counter()
        return self._whole.counter is not None

    def _needs_store(self) -> bool:
        if self._whole.store is None:
            self._whole.start_store()
        return self._whole.store is not None

    def _pause_for_flush(self) -> None:
        self._whole.clock.advance(self._whole.whole.store.lake.flush_ms)

    def _pause_for_pass(self) -> None:
        self._whole.clock.advance(self._whole.whole.store.reconcile.every_ms)

    def _count(self) -> None:
        world = self._whole
        if self._needs_counter():
            assert world.counter is not None
            world.note("counter", world.counter.step(world.clock.now_ms()))
            if world.counter.pump.under_way is not None:
                world.note("counter", f"delivers {world.counter.pump.deliver()}")

    def _tidy(self) -> None:
        if self._needs_counter():
            self._whole.note("janitor", self._whole.tidy())

    def _archive(self) -> None:
        if self._needs_counter():
            self._whole.note("archiver", self._whole.archiver_steps())

    def _reconcile(self) -> None:
        if self._needs_store():
            self._whole.note("store", self._whole.store_steps())

    def _kill_counter_stepping(self) -> None:
        if self._needs_counter():
            counter = self._whole.counter
            assert counter is not None
            self._kill_counter_in(lambda: counter.step(self._whole.clock.now_ms()))

    def _kill_tidying(self) -> None:
        if self._needs_counter():
            self._kill_counter_in(self._whole.tidy)

    def _kill_archiver_stepping(self) -> None:
        if self._needs_counter():
            self._whole.interrupt("a step of the archiver", self._whole.archiver_steps, ARCHIVER_PLACES)
            self._whole.kill_counter()

    def _kill_store_starting(self) -> None:
        self._whole.interrupt("start of the store", self._whole.start_store)
        self._whole.kill_store()

    def _kill_store_stepping(self) -> None:
        if self._needs_store():
            assert self._whole.store is not None
            self._whole.interrupt("a step of the reconciler", self._whole.store.step, RECONCILER_PLACES)
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
