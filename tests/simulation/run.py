"""One run: a seed decides about everything, a scheduler picks what happens next, a checker looks at what is left."""

import random
import secrets
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import adtally.eventlog.sqlite.ahead
import adtally.eventlog.sqlite.janitor
import adtally.eventlog.sqlite.segment
import adtally.eventlog.sqlite.writer
import adtally.faultpoint
import adtally.sqldb
from adtally.config import LakeConfig, ReconcileConfig, StreamConfig
from simulation.checker import Contents, check_dead_letters, check_live, check_live_is_bounded, check_log, check_replay
from simulation.edge import Limits
from simulation.final_checker import check_completeness, check_final, check_lake, check_ledger
from simulation.profiles import PROFILES, Profile
from simulation.scheduler import Scheduler
from simulation.store import StoreConfig
from simulation.whole import WholeSizes, WholeWorld
from simulation.whole_scheduler import WholeScheduler
from simulation.world import Sizes, World
from support.apsw_dbapi import apsw_engine
from support.disk import SimulatedDisk

LINES_SHOWN = 40
SKEWS_MS = (0, 0, 3, -40, 1_500, -30_000, 900_000, -1_200_000)
BIG = 1 << 30


class FailedRunError(AssertionError):
    """A run that broke a promise: what it was, and how it came to it."""


def run(seed: int, folder: Path, kind: str | None = None) -> str:
    """Let a seed's history happen and check what is left of it; give the digest of its timeline.

    The seed chooses the profile too, unless `kind` names one.
    Raises FailedRunError with the end of the timeline.
    """
    rnd = random.Random(seed)
    ids = random.Random(rnd.random())
    kind = kind or rnd.choice(list(PROFILES))
    disk = SimulatedDisk(f"simulated-{seed}", rnd.randrange(1 << 32))
    profile = PROFILES[kind]
    world, scheduler = (_whole_world if profile.whole else _world)(folder, disk, rnd, profile)
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
        patch.setattr(adtally.faultpoint, "on_reach", disk.reach)
        patch.setattr(adtally.sqldb, "create_engine", apsw_engine(disk.name))
        if isinstance(world, WholeWorld):
            world.folders.patch(patch.setattr)
        try:
            for _ in range(profile.actions):
                scheduler.act()
            world.settle()
            check(world, profile.exact)
        except Exception as error:
            end = world.timeline.end(LINES_SHOWN)
            raise FailedRunError(f"{error!r}\n{end}\nreplay with --seed {seed}") from error
        finally:
            world.bury(*world.edges, world.counter, world.store if isinstance(world, WholeWorld) else None)
            disk.unregister()
    return world.timeline.digest()


def check(world: World, exact: bool) -> None:
    """Check everything that was promised. `exact` live numbers are not to be had if clocks differ."""
    whole = world if isinstance(world, WholeWorld) else None
    contents = Contents(world.log_root, world.disk.name) if whole is None else whole.contents()
    check_log(contents, world.truth)
    check_dead_letters(world.places.letters, world.disk.name)
    check_live_is_bounded(contents, world.live.counts())
    if exact:
        check_live(contents, world.live.counts(), world.sizes.stream)
    if exact and (whole is None or not whole.cut):
        check_replay(contents, world.log_root, world.disk.name, world.sizes.stream)
    if whole is not None:
        assert whole.store is not None
        config, report = whole.whole.store, whole.store.book.last_pass()
        assert report is not None
        assert report.report is not None
        check_lake(contents, whole.store, whole.truth)
        check_final(contents, whole.store, config, report.report.complete_through_ms)
        check_ledger(contents, whole.store, config)
        if exact:
            check_completeness(contents, whole.store.ledger, config.reconcile.settle_ms)


def _world(folder: Path, disk: SimulatedDisk, rnd: random.Random, profile: Profile) -> tuple[World, Scheduler]:
    world = World(folder, disk, rnd, _sizes(rnd), in_order=profile.exact)
    return world, Scheduler(world, profile, rnd)


def _whole_world(folder: Path, disk: SimulatedDisk, rnd: random.Random, profile: Profile) -> tuple[World, Scheduler]:
    sizes = _sizes(rnd)
    world = WholeWorld(folder, disk, rnd, sizes, _whole_sizes(rnd, sizes, profile), in_order=profile.exact)
    world.note("seed", f"{world.whole}")
    return world, WholeScheduler(world, profile, rnd)


def _whole_sizes(rnd: random.Random, sizes: Sizes, profile: Profile) -> WholeSizes:
    lake = LakeConfig(flush_ms=rnd.choice([1_000, 60_000]), flush_bytes=rnd.choice([1, 3_000, BIG]))
    reconcile = ReconcileConfig(
        every_ms=rnd.choice([1_000, 120_000]),
        settle_ms=rnd.choice([0, 60_000, 600_000]),
        settle_ms_max=rnd.choice([600_000, 3_600_000, 86_400_000]),
    )
    store = StoreConfig(lake, reconcile, sizes.stream.dedup_window_ms, sizes.stream.lateness_ms)
    skews_ms = tuple(rnd.choice(SKEWS_MS) for _ in range(3)) if profile.skewed else (0,)
    return WholeSizes(store, rnd.choice([0, 1_800_000, 1 << 40]), skews_ms)


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
