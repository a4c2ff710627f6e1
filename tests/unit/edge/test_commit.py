"""The group commit as a state machine: what is answered, what is lost, and in which order the log gets it."""

from hypothesis import given
from hypothesis import strategies as st

from adtally.edge.commit import Entry, GroupCommit
from adtally.errors import LogError
from adtally.event import Closing, Control, Heartbeat, Lost, Opening

FAILED = LogError("full")


def commit(pending_max: int = 100, batch_max: int = 10) -> GroupCommit[int]:
    return GroupCommit(pending_max, batch_max, timeout_s=1.0, retry_s=0.25)


def add(group: GroupCommit[int], *seqs: int, now_s: float = 0.0, edge_id: str = "e") -> None:
    for seq in seqs:
        group.add(b"%d" % seq, edge_id, seq, seq * 10, seq, now_s)


def take(group: GroupCommit[int], now_s: float = 0.0) -> list[int] | Control | None:
    batch = group.take_batch(now_s)
    return [entry.seq for entry in batch] if isinstance(batch, list) else batch


def test_what_arrives_while_a_batch_is_outstanding_forms_the_next_one() -> None:
    group = commit()
    add(group, 1, 2)
    assert take(group) == [1, 2]
    add(group, 3, 4)
    assert take(group) is None

    outcome = group.finished(None, 0.1)

    assert (outcome.recorded, outcome.waiters) == (True, [1, 2])
    assert take(group) == [3, 4]
    assert group.finished(None, 0.2).waiters == [3, 4]
    assert group.empty
    assert group.pending == 0


def test_a_batch_is_bounded() -> None:
    group = commit(batch_max=3)
    add(group, 1, 2, 3, 4)
    assert take(group) == [1, 2, 3]
    group.finished(None, 0)
    assert take(group) == [4]


def test_control_records_keep_their_place_among_the_events() -> None:
    group = commit()
    add(group, 1)
    group.add_control(Closing("e", 1, 10))
    group.add_control(Opening("f", 5))
    add(group, 1, edge_id="f")

    taken = []
    while (batch := take(group)) is not None:
        taken.append(batch)
        group.finished(None, 0)

    assert taken == [[1], Closing("e", 1, 10), Opening("f", 5), [1]]


def test_only_the_newest_waiting_heartbeat_is_kept_and_behind_its_events() -> None:
    group = commit()
    group.add_control(Heartbeat("e", 0, 1))
    add(group, 1)
    group.add_control(Heartbeat("e", 1, 10))

    assert take(group) == [1]
    group.finished(None, 0)
    assert take(group) == Heartbeat("e", 1, 10)
    group.finished(None, 0)
    assert group.empty


def test_a_failed_batch_is_lost_and_the_loss_is_logged_before_what_follows() -> None:
    group = commit()
    add(group, 1, 2)
    take(group)
    add(group, 3)

    outcome = group.finished(FAILED, 0.1)

    assert (outcome.recorded, outcome.waiters) == (False, [1, 2])
    assert not group.healthy(0.1)
    assert take(group, 0.1) == Lost("e", 1, 2, 20)
    assert group.finished(None, 0.1).waiters == []
    assert group.healthy(0.1)
    assert take(group, 0.1) == [3]


def test_a_log_that_fails_again_releases_all_who_wait_and_gets_a_pause() -> None:
    group = commit()
    add(group, 1)
    take(group)
    group.finished(FAILED, 0.0)
    add(group, 2, 3)
    take(group)

    outcome = group.finished(FAILED, 0.0)

    assert (outcome.recorded, outcome.waiters) == (False, [2, 3])
    assert group.pending == 0
    assert take(group, 0.2) is None
    add(group, 4, now_s=0.2)
    assert take(group, 0.25) == Lost("e", 1, 3, 30)
    group.finished(None, 0.3)
    assert take(group, 0.3) == [4]


def test_a_failed_heartbeat_shows_and_is_not_repeated() -> None:
    group = commit()
    group.add_control(Heartbeat("e", 0, 1))
    take(group)
    group.finished(FAILED, 0.0)
    assert not group.healthy(0.0)
    assert group.empty

    group.add_control(Heartbeat("e", 0, 2))
    assert take(group) == Heartbeat("e", 0, 2)
    group.finished(None, 0.0)
    assert group.healthy(0.0)


def test_above_the_limit_a_click_does_not_wait_and_its_number_is_lost_in_its_place() -> None:
    group = commit(pending_max=2)
    add(group, 1, 2)
    assert take(group) == [1, 2]

    assert not group.add(b"3", "e", 3, 30, 3, 0.0)
    assert not group.add(b"4", "e", 4, 40, 4, 0.0)
    group.finished(None, 0.0)
    add(group, 5)

    assert take(group) == Lost("e", 3, 4, 40)
    group.finished(None, 0.0)
    assert take(group) == [5]


def test_a_click_that_times_out_in_a_stalled_batch_may_still_be_kept_and_is_not_lost() -> None:
    group = commit()
    add(group, 1)
    take(group)

    assert group.expire(0.9) == []
    assert group.healthy(0.9)
    assert group.expire(1.1) == [1]
    assert group.expire(1.2) == []
    assert not group.healthy(1.1)

    assert group.finished(None, 2.0).waiters == []
    assert group.empty
    assert group.healthy(2.0)


def test_a_click_that_times_out_in_a_stalled_batch_that_then_fails_is_lost() -> None:
    group = commit()
    add(group, 1)
    take(group)
    group.expire(1.1)

    assert group.finished(FAILED, 2.0).waiters == []
    assert take(group, 2.0) == Lost("e", 1, 1, 10)


def test_a_click_that_times_out_in_the_queue_is_dropped_and_lost() -> None:
    group = commit()
    add(group, 1)
    take(group)
    add(group, 2, now_s=0.5)
    group.add_control(Heartbeat("e", 2, 20))
    add(group, 3, now_s=0.6)
    add(group, 4, now_s=1.4)

    assert group.expire(1.7) == [1, 2, 3]
    assert group.pending == 2
    assert group.finished(None, 1.7).waiters == []

    assert take(group, 1.7) == Lost("e", 2, 2, 20)
    group.finished(None, 1.7)
    assert take(group, 1.7) == Heartbeat("e", 2, 20)
    group.finished(None, 1.7)
    assert take(group, 1.7) == Lost("e", 3, 3, 30)
    group.finished(None, 1.7)
    assert take(group, 1.7) == [4]


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "take", "kept", "failed", "wait", "heartbeat", "jump"]),
        st.integers(min_value=1, max_value=5),
    ),
    max_size=80,
)


class Driven:
    """Drives a GroupCommit with a log that keeps or fails as told, and notes what everybody saw."""

    def __init__(self) -> None:
        self.group: GroupCommit[tuple[str, int]] = GroupCommit(8, 3, timeout_s=1.0, retry_s=0.25)
        self.now_s = 0.0
        self.edge, self.seq = 0, 0
        self.log: list[Entry[tuple[str, int]] | Control] = []
        self.taken: list[Entry[tuple[str, int]]] | Control | None = None
        self.numbered: list[tuple[str, int]] = []
        self.recorded: list[tuple[str, int]] = []
        self.unrecorded: list[tuple[str, int]] = []

    def step(self, action: str, count: int) -> None:
        edge_id = f"e{self.edge}"
        if action == "add":
            for _ in range(count):
                self.seq += 1
                name = (edge_id, self.seq)
                self.numbered.append(name)
                if not self.group.add(b"x", *name, len(self.numbered), name, self.now_s):
                    self.unrecorded.append(name)
        elif action == "take" and self.taken is None:
            self.taken = self.group.take_batch(self.now_s)
        elif action in ("kept", "failed") and self.taken is not None:
            if action == "kept":
                self.log += self.taken if isinstance(self.taken, list) else [self.taken]
            self.taken = None
            outcome = self.group.finished(FAILED if action == "failed" else None, self.now_s)
            (self.recorded if outcome.recorded else self.unrecorded).extend(outcome.waiters)
        elif action == "wait":
            self.now_s += count / 4
            self.unrecorded += self.group.expire(self.now_s)
        elif action == "heartbeat":
            self.group.add_control(Heartbeat(edge_id, self.seq, len(self.numbered)))
        elif action == "jump":
            self.group.add_control(Closing(edge_id, self.seq, len(self.numbered)))
            self.edge, self.seq = self.edge + 1, 0
            self.group.add_control(Opening(f"e{self.edge}", len(self.numbered)))

    def settle(self) -> None:
        """Let the log work again until nothing is left."""
        self.step("kept", 1)
        while not self.group.empty:
            self.now_s += 0.25
            self.step("take", 1)
            self.step("kept", 1)


@given(STEPS)
def test_every_number_is_kept_or_lost_and_answered_once_and_the_log_is_in_order(steps: list[Step]) -> None:
    driven = Driven()
    for action, count in steps:
        driven.step(action, count)
    driven.settle()

    kept = [(record.edge_id, record.seq) for record in driven.log if isinstance(record, Entry)]
    lost = [
        (record.edge_id, seq)
        for record in driven.log
        if isinstance(record, Lost)
        for seq in range(record.first_seq, record.last_seq + 1)
    ]
    assert sorted(kept + lost) == sorted(driven.numbered)
    assert sorted(driven.recorded + driven.unrecorded) == sorted(driven.numbered)
    assert set(driven.recorded) <= set(kept)
    assert set(lost) <= set(driven.unrecorded)
    assert driven.group.pending == 0
    # In the order of their numbers, no edge_id's records behind its Closing, none before its Opening.
    places = [
        (int(record.edge_id[1:]), record.seq if isinstance(record, Entry) else record.last_seq)
        for record in driven.log
        if isinstance(record, Entry | Lost | Heartbeat | Closing)
    ]
    assert places == sorted(places)
    times = [record.ts_ms for record in driven.log]
    assert times == sorted(times)
