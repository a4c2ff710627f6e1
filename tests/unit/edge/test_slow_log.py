"""Clicks that come faster than the log takes them: the group commit beside a log with a pace of its own."""

from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.edge.commit import Entry, GroupCommit
from adtally.event import Control, Lost
from unit.edge.test_commit import FAILED, add, commit, take

STEP_S = 0.005


class SlowLog:
    """A log whose every append takes the same time, however much it brings; and clicks that come evenly."""

    def __init__(self, append_s: float, batch_max: int, pending_max: int) -> None:
        self.group: GroupCommit[int] = GroupCommit(pending_max, batch_max, timeout_s=1.0, retry_s=0.25)
        self.append_s = append_s
        self.kept_after_s: list[float] = []
        self.answered_after_s: list[float] = []
        """Of those that were not kept: how long they waited to be told."""
        self.pending_max = 0
        self.lost: set[int] = set()
        self.logged: set[int] = set()

    def run(self, rate: float, seconds: float) -> float:
        """Let clicks come; give how many were kept per second."""
        loss: Lost | None = None
        group, came_s, now_s, ends_s, batch = self.group, dict[int, float](), 0.0, float("inf"), None
        seq, kept_before = 0, len(self.kept_after_s)
        while now_s < seconds:
            now_s += STEP_S
            while len(came_s) < now_s * rate:
                seq += 1
                came_s[seq] = now_s
                if not group.add(b"", "e", seq, seq, seq, now_s):
                    self.answered_after_s.append(0.0)
            self.pending_max = max(self.pending_max, group.pending)
            self.answered_after_s += [now_s - came_s[seq] for seq in group.expire(now_s)]
            if now_s >= ends_s - STEP_S / 2:
                self._log(batch)
                self._log(loss)
                self.kept_after_s += [now_s - came_s[seq] for seq in group.finished(None, now_s, self.append_s).waiters]
                ends_s = float("inf")
            if ends_s == float("inf") and (batch := group.take_batch(now_s)) is not None:
                ends_s, loss = now_s + self.append_s, group.take_loss()
        return (len(self.kept_after_s) - kept_before) / seconds

    def _log(self, batch: list[Entry[int]] | Control | None) -> None:
        if isinstance(batch, list):
            self.logged |= {entry.seq for entry in batch}
        elif isinstance(batch, Lost):
            self.lost |= set(range(batch.first_seq, batch.last_seq + 1))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 20), st.sampled_from([25, 50]), st.floats(1.5, 4.0))
def test_three_times_what_a_log_takes_leaves_it_as_busy_as_before_and_nobody_waits_for_nothing(
    steps: int, batch_max: int, times: float
) -> None:
    append_s = steps * STEP_S
    capacity = batch_max / append_s
    log = SlowLog(append_s, batch_max, pending_max=10 * int(capacity))

    goodput = log.run(capacity * times, 10.0)

    assert goodput >= 0.8 * capacity
    assert max(log.kept_after_s) <= 0.6 + 4 * append_s
    assert max(log.answered_after_s) == 0.0, "somebody waited in vain"
    assert log.pending_max <= 0.6 * capacity + 3 * batch_max
    assert not log.lost & log.logged


def test_a_log_that_stalls_once_turns_nobody_away() -> None:
    group = commit(pending_max=1_000, batch_max=10)
    add(group, *range(5))
    take(group)
    add(group, *range(5, 500))
    group.finished(None, 0.9, 0.9)

    assert not group.behind
    add(group, *range(500, 900))
    assert group.pending == 895


def test_a_log_that_keeps_up_again_gets_its_whole_queue_back() -> None:
    group = commit(pending_max=1_000, batch_max=10)
    add(group, *range(30))
    take(group)
    group.finished(None, 0.5, 0.5)
    assert group.behind
    assert not group.add(b"", "e", 30, 30, 30, 0.5)
    while not group.empty:
        take(group)
        group.finished(None, 0.6, 0.001)

    add(group, *range(31, 500))
    assert group.pending == 469
    assert not group.behind


def test_a_loss_goes_into_the_log_with_the_batch_before_it_and_stays_behind_it_if_that_fails() -> None:
    group = commit(pending_max=2)
    add(group, 1, 2, 3, 4)
    assert take(group) == [1, 2]
    assert group.take_loss() == Lost("e", 3, 4, 40)
    assert group.finished(None, 0.1).waiters == [1, 2]
    assert group.empty

    add(group, 5, 6, 7)
    assert take(group) == [5, 6]
    assert group.take_loss() == Lost("e", 7, 7, 70)
    assert group.finished(FAILED, 0.2).waiters == [5, 6]
    assert take(group, 0.3) == Lost("e", 5, 7, 70)
    assert group.take_loss() is None
