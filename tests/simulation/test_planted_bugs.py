"""The tester, tested: each of these bugs was planted into the code, and each must be found within few seeds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from adtally.edge.commit import Entry, GroupCommit, Outcome
from adtally.errors import LogError
from adtally.eventlog.sqlite import segment
from adtally.eventlog.sqlite.segment import N_MAX, Header
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.stream.engine import Engine
from adtally.stream.merge import Inlet, Merged, merge
from adtally.stream.stream import Stream
from simulation.counter import SlowNetwork
from simulation.planted import must_be_found
from support.disk import SimulatedDisk

WRITER = "adtally.eventlog.sqlite.writer"

Patch = pytest.MonkeyPatch


def a_commit_is_not_synced(patch: Patch) -> None:
    def create(path: Path, header: Header, vfs: str | None) -> apsw.Connection:
        connection = segment.create(path, header, vfs)
        connection.pragma("synchronous", "off")
        return connection

    patch.setattr(f"{WRITER}.create", create)


def a_checkpoint_is_not_synced(patch: Patch) -> None:
    honest = SimulatedDisk.note_sync

    def note_sync(disk: SimulatedDisk, path: str) -> None:
        if not path.endswith(".segment"):
            honest(disk, path)

    patch.setattr(SimulatedDisk, "note_sync", note_sync)


def a_batch_is_acknowledged_before_it_is_kept(patch: Patch) -> None:
    honest = SqliteLogWriter.append
    late: dict[int, tuple[Sequence[bytes], int]] = {}

    def append(writer: SqliteLogWriter, events: Sequence[bytes], now_ms: int) -> None:
        before = late.pop(id(writer), None)
        late[id(writer)] = events, now_ms
        if before is not None:
            honest(writer, *before)

    patch.setattr(SqliteLogWriter, "append", append)


def a_failed_batch_is_acknowledged(patch: Patch) -> None:
    honest = GroupCommit.finished

    def finished(commit: GroupCommit[Any], error: LogError | None, now_s: float) -> Outcome[Any]:
        return Outcome(True, honest(commit, error, now_s).waiters)

    patch.setattr(GroupCommit, "finished", finished)


def lost_numbers_are_not_reported(patch: Patch) -> None:
    def lose(commit: GroupCommit[Any], entries: list[Entry[Any]]) -> list[Any]:
        return [entry.waiter for entry in entries if entry.waiter is not None]

    patch.setattr(GroupCommit, "_lose", lose)


def a_failed_commit_is_not_declared_void(patch: Patch) -> None:
    def create(path: Path, header: Header, vfs: str | None) -> apsw.Connection:
        return segment.create(path, Header(header.previous, N_MAX if header.previous else 0), vfs)

    patch.setattr(f"{WRITER}.create", create)


def a_failed_commit_can_be_recovered_by_readers(patch: Patch) -> None:
    honest = SqliteLogWriter._commit

    def commit(writer: SqliteLogWriter, *args: Any) -> None:
        try:
            honest(writer, *args)
        finally:
            writer._let_go(writer._failed)
            writer._failed = None

    patch.setattr(SqliteLogWriter, "_commit", commit)


def what_a_killed_writer_left_is_taken_for_durable(patch: Patch) -> None:
    for module in (WRITER, "adtally.eventlog.sqlite.reader"):
        patch.setattr(f"{module}.make_durable", lambda path: None)


def a_successor_ends_its_predecessor_too_early(patch: Patch) -> None:
    honest = SqliteLogWriter._find_predecessor

    def find(writer: SqliteLogWriter) -> Any:
        end = honest(writer)
        writer._n = max(0, writer._n - 1)
        return end

    patch.setattr(SqliteLogWriter, "_find_predecessor", find)


def a_restarted_edge_keeps_its_edge_id(patch: Patch) -> None:
    patch.setattr("simulation.edge.new_edge_id", lambda: "0123456789abcdef")


def the_newest_position_is_committed(patch: Patch) -> None:
    def commit(stream: Stream) -> None:
        stream._reader.commit({each.partition: each.restart(stream._reader) for each in stream._inlets.values()})

    patch.setattr(Stream, "_commit", commit)


def a_partition_that_is_taken_up_again_counts_as_retired(patch: Patch) -> None:
    honest = Stream._read

    def read(stream: Stream, inlet: Inlet, now_ms: int) -> bool:
        honest(stream, inlet, now_ms)
        return False

    patch.setattr(Stream, "_read", read)


def minutes_without_their_look_back_are_handed_on(patch: Patch) -> None:
    honest = Stream._count

    def count(stream: Stream, *args: Any) -> None:
        stream._floor_known = True
        honest(stream, *args)

    patch.setattr(Stream, "_count", count)


def an_empty_partition_is_not_waited_for(patch: Patch) -> None:
    def impatient(inlets: Sequence[Inlet]) -> Merged:
        return merge([inlet for inlet in inlets if not inlet.empty])

    patch.setattr("adtally.stream.stream.merge", impatient)


def state_is_forgotten_by_the_time_of_the_append(patch: Patch) -> None:
    honest = Engine._expire

    def expire(engine: Engine, log_ms: int, fresh: list[str]) -> None:
        honest(engine, log_ms + engine._lateness_ms + engine._window_ms, fresh)

    patch.setattr(Engine, "_expire", expire)


def a_failed_delivery_is_not_repeated(patch: Patch) -> None:
    patch.setattr(Engine, "take_back", lambda engine, handover: None)


def the_store_says_that_it_stored_what_it_did_not(patch: Patch) -> None:
    honest = SlowNetwork.carry

    def carry(network: SlowNetwork, rows: Any) -> str:
        return "ok" if honest(network, rows) == "lost" else "unsure"

    patch.setattr(SlowNetwork, "carry", carry)


BUGS: dict[Callable[[Patch], None], tuple[str, str]] = {
    a_commit_is_not_synced: ("power", "acknowledged, but not in the log"),
    a_checkpoint_is_not_synced: ("power", ""),
    a_batch_is_acknowledged_before_it_is_kept: ("kills", "acknowledged, but not in the log"),
    a_failed_batch_is_acknowledged: ("disk", "acknowledged, but not in the log"),
    lost_numbers_are_not_reported: ("disk", "neither in the log nor there as lost"),
    a_failed_commit_is_not_declared_void: ("disk", "in the log, and there as lost"),
    a_failed_commit_can_be_recovered_by_readers: ("disk", ""),
    what_a_killed_writer_left_is_taken_for_durable: ("crashes", ""),
    a_successor_ends_its_predecessor_too_early: ("kills", ""),
    a_restarted_edge_keeps_its_edge_id: ("kills", ""),
    the_newest_position_is_committed: ("kills", "the live numbers are wrong"),
    a_partition_that_is_taken_up_again_counts_as_retired: ("calm", ""),
    minutes_without_their_look_back_are_handed_on: ("restarts", "the live numbers are wrong"),
    an_empty_partition_is_not_waited_for: ("calm", "counted out of order"),
    state_is_forgotten_by_the_time_of_the_append: ("calm", "the live numbers are wrong"),
    a_failed_delivery_is_not_repeated: ("calm", "the live numbers are wrong"),
    the_store_says_that_it_stored_what_it_did_not: ("calm", "the live numbers are wrong"),
}
"""Each with the profile that brings it out, and what the checker says (empty: one thing or another)."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[[Patch], None], tmp_path: Path, monkeypatch: Patch) -> None:
    bug(monkeypatch)
    must_be_found(*BUGS[bug], tmp_path)
