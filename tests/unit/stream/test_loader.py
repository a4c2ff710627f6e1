"""The loader of live rows: batches, retries, positions, and how far it says that it came."""

from collections.abc import Mapping, Sequence

import msgspec

from adtally.errors import LogError, StoreUnavailableError
from adtally.olap.port import LiveRows
from adtally.stream.heard import Promise
from adtally.stream.job_as_of import AsOf
from adtally.stream.loader import Loader
from adtally.stream.partition import CLOCKS_APART_MS
from support.counts import MemoryLive

LATENESS_MS = 20_000
CELL = ("adv", "camp", "ad", 60, "mobile", "counted")


def row(
    clicks: int, users: Sequence[str] | None, outcome: str = "counted", shard: int = 0, minute_s: int = 60
) -> bytes:
    return msgspec.json.encode(
        {
            "advertiser_id": "adv",
            "campaign_id": "camp",
            "ad_id": "ad",
            "minute_s": minute_s,
            "device": "mobile",
            "outcome": outcome,
            "shard": shard,
            "clicks": clicks,
            "users": users,
        }
    )


class Topic:
    """Messages of one partition, and what was committed."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.next = 0
        self.committed = 0
        self.broken = False

    def read(self, messages_max: int) -> Sequence[bytes]:
        given = self.messages[self.next : self.next + messages_max]
        self.next += len(given)
        return given

    def commit(self) -> None:
        if self.broken:
            raise LogError("broken")
        self.committed = self.next

    def reached(self) -> Mapping[int, int]:
        return {0: self.next}

    def ends(self) -> Mapping[int, int]:
        return {0: len(self.messages)}


class Job:
    """A job that has read some of one partition of clicks."""

    def __init__(self) -> None:
        self.read = 0
        self.written = 0
        self.more: Sequence[int] = ()
        """Partitions without clicks."""

    def committed(self) -> Mapping[int, int]:
        return {0: self.read}

    def ends(self) -> Mapping[int, int]:
        return {0: self.written, **dict.fromkeys(self.more, 0)}


class Store(MemoryLive):
    """A store that can be away; `appends` are the sizes of what it took."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.appends: list[int] = []

    def append_live(self, rows: LiveRows) -> None:
        if self.away:
            raise StoreUnavailableError("away")
        self.appends.append(len(rows))
        self.append(rows)


class Edges:
    """What edges promise: that clicks of `behind_ms` ago are in the log; nothing if that is None."""

    def __init__(self) -> None:
        self.behind_ms: int | None = 500

    def listen(self, now_ms: int) -> Promise | None:
        return None if self.behind_ms is None else Promise(now_ms - self.behind_ms, now_ms, now_ms)

    def commit(self) -> None:
        pass


class Parts:
    def __init__(self) -> None:
        self.topic, self.job, self.store, self.edges = Topic(), Job(), Store(), Edges()
        self.loader = Loader(self.topic, self.store, AsOf(self.topic, self.job, self.edges, LATENESS_MS))

    def run(self, start_ms: int, end_ms: int) -> None:
        for now_ms in range(start_ms, end_ms, 100):
            self.loader.step(now_ms)


def test_rows_of_a_cell_become_one_with_the_greatest_total_and_all_users() -> None:
    parts = Parts()
    parts.topic.messages = [row(2, ["a", "b"]), row(5, ["c"]), row(3, ["a"]), row(1, ["é"], shard=1)]
    parts.run(1_000, 3_000)
    assert parts.store.appends == [2]
    assert parts.store.counts() == {CELL: (6, frozenset({"a", "b", "c", "é"}))}


def test_a_batch_waits_half_a_second_for_more() -> None:
    parts = Parts()
    parts.topic.messages = [row(1, ["a"])]
    parts.run(1_000, 1_500)
    assert parts.store.appends == []
    parts.loader.step(1_500)
    assert parts.store.appends == [1]


def test_a_full_batch_does_not_wait() -> None:
    parts = Parts()
    parts.topic.messages = [row(1, [], minute_s=60 * minute) for minute in range(100_001)]
    parts.loader.step(1_000)
    assert parts.store.appends == [100_000]


def test_a_store_that_is_away_gets_the_same_rows_when_it_is_back_and_no_position_runs_ahead() -> None:
    parts = Parts()
    parts.store.away = True
    parts.topic.messages = [row(1, ["a"])]
    parts.run(1_000, 4_000)
    parts.topic.messages.append(row(2, ["b"]))
    parts.run(4_000, 5_000)
    assert parts.topic.committed == 0
    parts.store.away = False
    parts.run(5_000, 7_000)
    assert parts.store.counts() == {CELL: (2, frozenset({"a", "b"}))}
    assert parts.topic.committed == 2


def test_a_position_that_could_not_be_committed_is_committed_with_the_next_batch() -> None:
    parts = Parts()
    parts.topic.broken = True
    parts.topic.messages = [row(1, ["a"])]
    parts.run(1_000, 2_000)
    assert parts.loader.idle
    parts.topic.broken = False
    parts.topic.messages.append(row(2, ["b"]))
    parts.run(2_000, 3_000)
    assert parts.topic.committed == 2


def test_users_of_what_was_not_counted_are_left_out() -> None:
    parts = Parts()
    parts.topic.messages = [row(3, ["a"], "duplicate")]
    parts.run(1_000, 2_000)
    assert parts.store.counts() == {(*CELL[:-1], "duplicate"): (3, frozenset())}


def test_a_row_that_cannot_be_read_holds_nothing_up() -> None:
    parts = Parts()
    parts.topic.messages = [b"{", row(1, ["a"])]
    parts.run(1_000, 2_000)
    assert parts.store.counts() == {CELL: (1, frozenset({"a"}))}
    assert parts.topic.committed == 2


def test_the_report_counts_what_is_new_in_totals_and_late_events_are_no_cell() -> None:
    parts = Parts()
    parts.topic.messages = [
        row(2, ["a"]),
        row(5, ["b"]),
        row(5, ["b"]),
        row(3, None, "duplicate"),
        row(7, None, "late"),
    ]
    parts.run(1_000, 2_000)
    report = parts.loader.report(2_000)
    assert (report.events, report.duplicates, report.late) == (15, 3, 7)
    assert len(parts.store.counts()) == 2


def test_nothing_is_said_to_be_counted_before_the_jobs_checkpoint_has_passed_it() -> None:
    parts = Parts()
    parts.job.written = 10
    parts.job.read = 9
    parts.run(10_000, 60_000)
    assert parts.loader.report(0).as_of_ms == 0
    parts.job.read = 10
    parts.run(60_000, 65_000)
    assert 8_000 <= parts.loader.report(0).as_of_ms < 10_000


def test_nothing_is_said_to_be_counted_while_its_rows_are_not_stored() -> None:
    parts = Parts()
    parts.store.away = True
    parts.topic.messages = [row(1, ["a"])]
    parts.run(10_000, 60_000)
    assert parts.loader.report(0).as_of_ms == 0
    parts.store.away = False
    parts.run(60_000, 70_000)
    assert parts.loader.report(0).as_of_ms >= 58_000


def test_the_time_goes_on_without_clicks() -> None:
    parts = Parts()
    parts.run(10_000, 60_000)
    assert parts.loader.report(0).as_of_ms >= 52_000


def test_a_shard_is_named_as_the_log_names_its_partition() -> None:
    parts = Parts()
    parts.job.read = 7
    parts.topic.messages = [row(1, ["a"], shard=11)]
    parts.run(10_000, 20_000)
    assert {shard for _, shard in parts.store.clicks} == {"clicks-11"}
    assert parts.loader.report(0).positions == {"clicks-0": "7"}


def test_events_that_edges_hold_back_are_not_said_to_be_counted_before_they_are_late() -> None:
    parts = Parts()
    parts.edges.behind_ms = 15_000
    parts.run(100_000, 160_000)
    assert 140_000 <= parts.loader.report(0).as_of_ms <= 145_000
    parts.edges.behind_ms = None
    parts.run(160_000, 220_000)
    assert 180_000 <= parts.loader.report(0).as_of_ms <= 220_000 - LATENESS_MS - CLOCKS_APART_MS


def test_all_partitions_of_clicks_are_named_those_too_that_hold_nothing() -> None:
    parts = Parts()
    parts.job.read = parts.job.written = 7
    parts.job.more = (1, 2)
    parts.run(10_000, 20_000)
    report = parts.loader.report(0)
    assert report.shards == ("clicks-0", "clicks-1", "clicks-2")
    assert report.positions == {"clicks-0": "7", "clicks-1": "0", "clicks-2": "0"}
    assert report.as_of_ms > 0
