"""Compaction: fewer files, the same events, each once."""

import random

import pytest

from adtally.errors import LakeDamagedError
from adtally.lake.compaction import CompactionResult, compact_hour
from support.lake_events import NOON_MS, Id, click, lake_ids, rows
from support.memory_lake import MemoryLake

NOTHING = CompactionResult(0, 0, 0, 0)


def put(lake: MemoryLake, stem: str, *seqs: int, edge_id: str = "e1", partition: str = "edge-0") -> None:
    lake.write(NOON_MS, stem, rows([click(seq, edge_id=edge_id, ad_id=f"ad_{seq % 3}") for seq in seqs], partition))


def contents(lake: MemoryLake) -> list[list[int]]:
    return sorted(sorted(lake.read(file)["seq"].to_pylist()) for file in lake.files(NOON_MS))


def test_many_files_become_one_with_each_event_once() -> None:
    lake = MemoryLake()
    put(lake, "a", 1, 2, 3)
    put(lake, "b", 3, 4)
    put(lake, "c", 1, 2, 3, 4, 5)
    put(lake, "d", 1, edge_id="e2", partition="edge-1")
    assert compact_hour(lake, NOON_MS) == CompactionResult(4, 1, 6, 5)
    assert lake_ids(lake) == [("e1", 1), ("e1", 2), ("e1", 3), ("e1", 4), ("e1", 5), ("e2", 1)]
    assert compact_hour(lake, NOON_MS) == NOTHING


def test_hours_of_one_file_or_none_are_left_alone() -> None:
    lake = MemoryLake()
    assert compact_hour(lake, NOON_MS) == NOTHING
    put(lake, "a", 1, 2)
    before = dict(lake.contents)
    assert compact_hour(lake, NOON_MS) == NOTHING
    assert lake.contents == before


def test_files_are_merged_only_as_far_as_they_fit_the_bound() -> None:
    lake = MemoryLake()
    for n in range(6):
        put(lake, f"f{n}", *range(10 * n, 10 * n + 10))
    compact_hour(lake, NOON_MS, events_max=20)
    assert [len(seqs) for seqs in contents(lake)] == [20, 20, 20]
    assert compact_hour(lake, NOON_MS, events_max=20) == NOTHING


def test_files_that_may_share_events_are_merged_beyond_the_bound() -> None:
    lake = MemoryLake()
    put(lake, "a", 1, 2, 3)
    put(lake, "b", 2, 3, 4)
    put(lake, "c", 5, 6)
    compact_hour(lake, NOON_MS, events_max=2)
    assert contents(lake) == [[1, 2, 3, 4], [5, 6]]


def test_a_range_inside_another_does_not_hide_how_far_that_one_reaches() -> None:
    lake = MemoryLake()
    put(lake, "a", 1, 5, 10)
    put(lake, "b", 2, 3)
    put(lake, "c", 5, 6)
    compact_hour(lake, NOON_MS, events_max=1)
    assert contents(lake) == [[1, 2, 3, 5, 6, 10]]


def test_an_edge_that_writes_to_all_partitions_does_not_tie_their_files_together() -> None:
    lake = MemoryLake()
    put(lake, "a", 1, 5, partition="0")
    put(lake, "b", 2, 4, partition="1")
    put(lake, "c", 3, 6, partition="2")
    assert compact_hour(lake, NOON_MS, events_max=2) == NOTHING


def test_a_late_event_joins_a_file_that_has_room() -> None:
    lake = MemoryLake()
    put(lake, "full", *range(10))
    put(lake, "half", *range(10, 15))
    put(lake, "late", 99)
    compact_hour(lake, NOON_MS, events_max=10)
    assert contents(lake) == [list(range(10)), [10, 11, 12, 13, 14, 99]]


def test_a_repeat_after_a_kill_writes_the_same_file() -> None:
    lake = MemoryLake()
    put(lake, "a", 1, 2)
    put(lake, "b", 3)
    before = dict(lake.contents)
    compact_hour(lake, NOON_MS)
    after = dict(lake.contents)
    lake.contents = before | after
    compact_hour(lake, NOON_MS)
    assert list(lake.contents) == list(after)
    assert lake.contents[next(iter(after))].equals(next(iter(after.values())))


def test_a_damaged_file_stops_it_and_nothing_is_removed() -> None:
    lake = MemoryLake()
    put(lake, "a", 1, 2)
    put(lake, "b", 3)
    lake.damaged = {lake.files(NOON_MS)[1].name}
    before = dict(lake.contents)
    with pytest.raises(LakeDamagedError):
        compact_hour(lake, NOON_MS)
    assert lake.contents == before


def test_any_files_hold_the_same_events_after_any_number_of_compactions(seed: int) -> None:
    rnd = random.Random(seed)
    for _ in range(60):
        lake = MemoryLake()
        held: set[Id] = set()
        for n in range(rnd.randrange(1, 9)):
            edge_id, first = rnd.choice(("e1", "e2")), rnd.randrange(40)
            seqs = rnd.sample(range(first, first + 12), rnd.randrange(1, 12))
            put(lake, f"f{n}", *seqs, edge_id=edge_id, partition=f"of-{edge_id}")
            held |= {(edge_id, seq) for seq in seqs}
        bound = rnd.randrange(1, 40)
        for _ in range(3):
            compact_hour(lake, NOON_MS, events_max=bound)
            assert set(lake_ids(lake)) == held
        assert compact_hour(lake, NOON_MS, events_max=bound) == NOTHING or len(lake_ids(lake)) == len(held)
