"""Merges the many small files of an hour into few (design section 4).

Readers take each (edge_id, seq) once, so at any moment of a compaction they see the same events: before, while old and
new files stand side by side, and after.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
import pyarrow as pa

from adtally.lake.port import Lake, LakeFile

EVENTS_MAX: Final = 500_000
"""Of one compacted file: about 225 MB in memory, twice that while it is sorted."""

COMPACTED: Final = "compacted-"
"""Begins the names of compacted files."""

_ID: Final = ["edge_id", "seq"]
_RANGE: Final = ["partition", "edge_id"]


class CompactionResult(msgspec.Struct, frozen=True):
    """What a compaction did to one hour. Nothing was to be done where both numbers of files are 0."""

    files_before: int
    """That were merged."""
    files_after: int
    """That came of them."""
    events: int
    """In the merged files, each (edge_id, seq) once."""
    repeats: int
    """Events that stood there more than once and now do so once."""


class _Seqs(msgspec.Struct, frozen=True, order=True):
    """The numbers of one edge in one file, as far as one log partition holds them.

    A repeated event is in the partition that it was in before. Where an edge writes to all partitions, its numbers
    alone would tie all files of the hour together.
    """

    partition: str
    edge_id: str
    first: int
    last: int
    file: int


def compact_hour(lake: Lake, hour_ms: int, events_max: int = EVENTS_MAX) -> CompactionResult:
    """Merge an hour's files into files of at most `events_max` events, each (edge_id, seq) once.

    Files that may share events (their edges' numbers overlap) are merged together however many events they hold, since
    elsewhere a repeat would not be seen: an archiver's repeat after a crash, or what a killed compaction left. A file
    that nothing fits to stays. Raises LakeFileGoneError where somebody else compacts or removes the hour,
    LakeDamagedError and LakeError; the group that fails loses nothing.
    """
    files = lake.files(hour_ms)
    if len(files) < 2:
        return CompactionResult(0, 0, 0, 0)
    before = after = events = repeats = 0
    for group in _groups(lake, files, events_max):
        tables = [lake.read(file) for file in group]
        merged = _each_once(pa.concat_tables(tables))
        lake.replace(hour_ms, _stem(merged), merged, group)
        before, after = before + len(group), after + 1
        events += len(merged)
        repeats += sum(map(len, tables)) - len(merged)
    return CompactionResult(before, after, events, repeats)


def _groups(lake: Lake, files: Sequence[LakeFile], events_max: int) -> list[list[LakeFile]]:
    """Give the groups of files to merge, every file with all that may hold an event of it."""
    seqs: list[_Seqs] = []
    counts: list[int] = []
    for index, file in enumerate(files):
        ids = lake.read(file, [*_RANGE, "seq"])
        counts.append(len(ids))
        seqs += [_Seqs(partition, edge_id, first, last, index) for partition, edge_id, first, last, _ in _ranges(ids)]
    groups: list[list[LakeFile]] = []
    room = 0
    # The smallest first: then a few late events join a file that has room, and full files stay alone.
    for kin in sorted(_kin(seqs, len(files)), key=lambda kin: (sum(counts[index] for index in kin), kin)):
        size = sum(counts[index] for index in kin)
        if not groups or size > room:
            groups.append([])
            room = events_max
        groups[-1] += [files[index] for index in kin]
        room -= size
    return [group for group in groups if len(group) > 1]


def _kin(seqs: Iterable[_Seqs], files: int) -> list[list[int]]:
    """Give the files in sets, so that edges' numbers overlap within a set only (union-find over sorted ranges)."""
    parent = list(range(files))

    def root(file: int) -> int:
        while parent[file] != file:
            parent[file] = parent[parent[file]]
            file = parent[file]
        return file

    reach: _Seqs | None = None
    for each in sorted(seqs):
        same = reach is not None and (each.partition, each.edge_id) == (reach.partition, reach.edge_id)
        if reach is not None and same and each.first <= reach.last:
            parent[root(each.file)] = root(reach.file)
            reach = each if each.last > reach.last else reach
        else:
            reach = each
    sets: dict[int, list[int]] = {}
    for file in range(files):
        sets.setdefault(root(file), []).append(file)
    return list(sets.values())


def _each_once(events: pa.Table) -> pa.Table:
    """Give the events with each (edge_id, seq) once; repeats are the same event, so any of them will do."""
    rows = pa.table(
        {"edge_id": events["edge_id"], "seq": events["seq"], "row": pa.array(range(len(events)), pa.int64())}
    )
    chosen = rows.group_by(_ID, use_threads=False).aggregate([("row", "min")])["row_min"]
    return events.take(chosen).sort_by([(name, "ascending") for name in ("ad_id", "ts_ms", "edge_id", "seq")])


def _stem(events: pa.Table) -> str:
    """Name a file after its content, so that a repeat after a crash writes the same file again.

    Other content of the same name would be of the same edges and numbers: such files are merged together.
    """
    digest = blake2b(msgspec.json.encode(_ranges(events)), digest_size=16)
    return f"{COMPACTED}{digest.hexdigest()}"


def _ranges(events: pa.Table) -> list[tuple[str, str, int, int, int]]:
    """Give by partition and edge its first and last number and the count of its events."""
    measures = [("seq", "min"), ("seq", "max"), ("seq", "count")]
    found = events.select([*_RANGE, "seq"]).group_by(_RANGE, use_threads=False).aggregate(measures)
    columns = [found[name].to_pylist() for name in (*_RANGE, "seq_min", "seq_max", "seq_count")]
    return sorted(zip(*columns, strict=True))
