"""A backup of a data folder, while a system runs on it or not: what is copied, and in which order."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from adtally.backup.manifest import Manifest, Progress
from adtally.backup.snapshot import Snapshot, one_at_a_time, remove_older
from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config
from adtally.errors import BackupError
from adtally.folder import DataFolder
from adtally.sqlitecopy import copy_database

if TYPE_CHECKING:
    from adtally.eventlog.sqlite.copying import SegmentFile

TRIES: Final = 5
"""How often what changed meanwhile is looked at again."""


class Taken(msgspec.Struct, frozen=True):
    """What a backup has come to."""

    backup: Path
    manifest: Manifest
    copied_bytes: int
    """Of all its bytes; the rest is shared with the backup before."""
    removed: tuple[Path, ...]


def take_backup(
    folder: DataFolder, config: Config, place: Path, progress: Progress, *, store: bool | None, keep: int | None
) -> Taken:
    """Back a data folder up to a new folder in `place`, and then keep the newest `keep` backups there.

    Every click that was acknowledged before this is in it. `store`: with the OLAP store, on which nothing may run then.
    None is without it, and an error where that would lose numbers. Raises BackupError, DataFolderError and LogError.
    """
    begun_ms, total = SYSTEM_CLOCK.now_ms(), _size_bytes(folder, config, store=bool(store))
    if _inside(place, folder.root):
        raise BackupError(f"{place} is in the data folder: choose another place, best on another disk")
    with one_at_a_time(place):
        snapshot = Snapshot(place, begun_ms, lambda done: progress(min(done, total), total))
        if not config.registry.url:
            _add_database(snapshot, folder.registry)
        for _ in range(TRIES):
            if _copy_counted(snapshot, folder, config, store=store):
                break
        else:
            raise BackupError(f"{folder.root} changes faster than it can be copied: try again")
        for path in (folder.admin_key, folder.config, folder.version):
            if path.exists():
                snapshot.add(path.name, path)
        target, manifest = snapshot.finish(SYSTEM_CLOCK.now_ms(), _elsewhere(config), bool(store))
        removed = remove_older(place, keep) if keep is not None else []
    return Taken(target, manifest, snapshot.copied_bytes, tuple(removed))


def _copy_counted(snapshot: Snapshot, folder: DataFolder, config: Config, *, store: bool | None) -> bool:
    """Copy what says how far everything has come, then what it says that of; False if something was gone meanwhile.

    The archiver writes the lake, dead letters, ledger and its position in this order, so what was copied first claims
    nothing that is copied later. The log comes last of all: no place of it that the others name is ever given out again
    by those who write on behind its end.
    """
    from adtally.eventlog.sqlite import copying
    from adtally.eventlog.sqlite.reader import COMMITS

    if not config.log.brokers and (folder.log / COMMITS).exists():
        # A store that is made anew has no live minutes: the stream counts from the log's beginning.
        left_out = () if store else ("stream",)
        snapshot.add_made(f"log/{COMMITS}", lambda target: copying.copy_positions(folder.log, target, left_out))
    if not config.ledger.url:
        _add_database(snapshot, folder.ledger)
        _add_database(snapshot, folder.dead_letters)
    _check_frozen(folder, config, store=store)
    whole = bool(config.lake.url) or _copy_lake(snapshot, folder)
    if store:
        for path in sorted(folder.olap.rglob("*")):
            if path.is_file():
                snapshot.add(path.relative_to(folder.root).as_posix(), path)
    if config.log.brokers or not whole:
        return whole
    return _copy_log(snapshot, folder)


def _copy_lake(snapshot: Snapshot, folder: DataFolder) -> bool:
    from adtally.lake.directory import DirectoryLake

    if not folder.lake.exists():
        return True
    names, whole = set(), True
    for files in DirectoryLake(folder.lake).listing().values():
        for file in files:
            name = f"lake/{file.name}"
            try:
                snapshot.add(name, folder.lake / file.name)
                names.add(name)
            except FileNotFoundError:
                # Merged into another one, or past its retention: the ledger may say so by now.
                whole = False
    snapshot.keep_only("lake/", names)
    return whole


def _copy_log(snapshot: Snapshot, folder: DataFolder) -> bool:
    from adtally.eventlog.sqlite import copying
    from adtally.eventlog.sqlite.reader import COMMITS

    taken, gone = dict[str, copying.SegmentFile](), []
    for segment in copying.segment_files(folder.log):
        name = f"log/{segment.name}"
        try:
            _copy_segment(snapshot, name, segment)
            taken[name] = segment
        except FileNotFoundError:
            # Past its retention; whether it is missed is seen at the end.
            gone.append(segment)
    # Retention takes the oldest first: what is older than one that is gone is gone too, and readers expect no gaps.
    first = {each.partition: each.number for each in gone}
    kept = {name for name, segment in taken.items() if segment.number > first.get(segment.partition, -1)}
    snapshot.keep_only("log/", {f"log/{COMMITS}", *kept})
    return not copying.unreadable_for(snapshot.root / "log", "archiver", gone)


def _copy_segment(snapshot: Snapshot, name: str, segment: "SegmentFile") -> None:
    from adtally.eventlog.sqlite.copying import copy_segment

    if segment.settled:
        snapshot.add(name, segment.path)
    else:
        snapshot.add_made(name, lambda target: copy_segment(segment.path, target))


def _add_database(snapshot: Snapshot, path: Path) -> None:
    if path.exists():
        snapshot.add_made(path.name, lambda target: copy_database(path, target))


def _check_frozen(folder: DataFolder, config: Config, *, store: bool | None) -> None:
    """Raise BackupError where the store alone holds numbers, and nobody has said what is to be done about it."""
    if store is not None or not folder.ledger.exists() or config.ledger.url:
        return
    with closing(sqlite3.connect(f"{folder.ledger.absolute().as_uri()}?mode=ro", uri=True)) as ledger:
        frozen = ledger.execute("SELECT count(DISTINCT hour_ms) FROM line WHERE state = 'frozen'").fetchone()[0]
    if frozen:
        raise BackupError(
            f"the raw events of {frozen} hours were removed by lake.retention_days, so their numbers are in the store "
            "alone: stop the system and give --with-store, or give them up with --without-store"
        )


def _elsewhere(config: Config) -> tuple[str, ...]:
    found = {
        "registry": config.registry.url,
        "ledger and dead letters": config.ledger.url,
        "event log": config.log.brokers,
        "lake": config.lake.url,
    }
    return tuple(name for name, where in found.items() if where)


def _size_bytes(folder: DataFolder, config: Config, *, store: bool) -> int:
    """Give about how much there is to copy."""
    parts = [folder.registry, folder.ledger, folder.dead_letters]
    parts += [folder.lake] if not config.lake.url else []
    parts += [folder.log] if not config.log.brokers else []
    parts += [folder.olap] if store else []
    return sum(map(_bytes_below, parts))


def _bytes_below(path: Path) -> int:
    total = 0
    for file in [path, *path.rglob("*")]:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _inside(place: Path, root: Path) -> bool:
    return place.resolve().is_relative_to(root.resolve())
