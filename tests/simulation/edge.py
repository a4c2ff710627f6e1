"""One edge worker without HTTP and without its threads: every step of a click's way is one call."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from adtally.edge.clicks import ClickJudge, Request
from adtally.edge.clients import Clients
from adtally.edge.commit import Entry, GroupCommit
from adtally.edge.cookies import NewUsers
from adtally.edge.identity import Identity, new_edge_id
from adtally.errors import LogError
from adtally.event import Control
from adtally.eventlog.sqlite.writer import SqliteLogWriter
from adtally.registry.port import AdReplica
from adtally.wiring import edge_partition
from simulation.clock import TimeOfDay

EventId = tuple[str, int]
"""edge_id and seq"""

APPEND_TIMEOUT_S = 1.0
RETRY_S = 0.25


class Truth:
    """What really happened, told by those outside the system: what was sent, and what was answered."""

    def __init__(self) -> None:
        self.sent: dict[EventId, bytes] = {}
        self.acknowledged: set[EventId] = set()
        """Their 302 left without a word of doubt."""
        self.doubted: set[EventId] = set()
        """Their 302 left with `X-Click-Recorded: false`."""
        self.undrained: set[str] = set()
        """Edges that were stopped in order, but could not bring what they had into the log."""


class Limits(msgspec.Struct, frozen=True):
    """What bounds an edge."""

    pending_max: int
    batch_max: int
    segment_bytes: int


class SimulatedEdge:
    """The parts of edge/site.py that decide, in its order; the writer's calls come when the scheduler says so."""

    def __init__(
        self, root: Path, index: int, limits: Limits, clock: TimeOfDay, truth: Truth, vfs: str, ads: AdReplica
    ) -> None:
        edge_id = new_edge_id()
        # A start takes time: before it opens the log, and again before it takes its first request.
        clock.advance(1)
        self.index = index
        self.writer = SqliteLogWriter.open(
            root, edge_partition(index), edge_id, clock.now_ms(), limits.segment_bytes, vfs=vfs
        )
        clock.advance(1)
        self.identity = Identity(edge_id, clock.now_ms())
        self.commit: GroupCommit[EventId] = GroupCommit(limits.pending_max, limits.batch_max, APPEND_TIMEOUT_S, RETRY_S)
        self.taken: list[Entry[EventId]] | Control | None = None
        self.appended: LogError | bool = False
        """True, or its error, once the taken batch's append has returned."""
        self._clock = clock
        self._truth = truth
        self._judge = ClickJudge(ads, Clients(()), NewUsers(secure=False), 10, event_header=True, counted_agents=())

    def click(self, request: Request) -> str:
        """Take a request; give what became of it."""
        self._observe_clock()
        identity = self.identity
        redirect = self._judge.decide(request, identity)
        if redirect is None:
            return "404"
        event_id = identity.edge_id, redirect.seq
        self._truth.sent[event_id] = redirect.encoded
        now_s = self._clock.monotonic_s()
        if not self.commit.add(redirect.encoded, *event_id, identity.ts_ms, event_id, now_s):
            self._answer([event_id], recorded=False)
            return f"{name(event_id)} does not fit the queue"
        return f"{name(event_id)} {redirect.verdict} at {identity.ts_ms}"

    def look_for_ads(self) -> str:
        """Take note of changed ads."""
        self._judge.refresh()
        return "looks for changed ads"

    def heartbeat(self) -> str:
        self._observe_clock()
        self.commit.add_control(self.identity.heartbeat())
        return f"up to {name((self.identity.edge_id, self.identity.last_seq))}"

    def take(self) -> str | None:
        """Take a batch; None if there is none to be taken."""
        self.taken = self.commit.take_batch(self._clock.monotonic_s())
        self.appended = False
        return None if self.taken is None else describe(self.taken)

    def append(self) -> str:
        """Do what the commit thread does with the batch."""
        assert self.taken is not None
        now_ms = self._clock.now_ms()
        try:
            if isinstance(self.taken, Control):
                self.writer.append_control(self.taken, now_ms)
            else:
                self.writer.append([entry.encoded for entry in self.taken], now_ms)
        except LogError as error:
            self.appended = error
            return f"{describe(self.taken)} fails"
        self.appended = True
        return describe(self.taken)

    def finish(self) -> str:
        """Let the loop learn of the append's outcome, and answer."""
        error = self.appended if isinstance(self.appended, LogError) else None
        self.taken, self.appended = None, False
        outcome = self.commit.finished(error, self._clock.monotonic_s())
        self._answer(outcome.waiters, recorded=outcome.recorded)
        return f"{'kept' if outcome.recorded else 'doubted'}: {' '.join(map(name, outcome.waiters)) or 'nobody waits'}"

    def expire(self) -> str:
        waiters = self.commit.expire(self._clock.monotonic_s())
        self._answer(waiters, recorded=False)
        return f"doubted: {' '.join(map(name, waiters)) or 'nobody'}"

    def work(self) -> bool:
        """Bring the next batch into the log, if there is one."""
        if self.taken is None and self.take() is None:
            return False
        if self.appended is False:
            self.append()
        self.finish()
        return True

    def close(self) -> str:
        """Stop in order, with what could not be kept left out; the log may refuse the last record, too."""
        if not self.commit.empty:
            self._truth.undrained.add(self.identity.edge_id)
        try:
            self.writer.close(self.identity.closing(), self._clock.now_ms())
        except LogError:
            return "without a closing record"
        return name((self.identity.edge_id, self.identity.last_seq))

    def kill(self) -> None:
        """End as a killed process does: the files are closed by the system, and nothing is written."""
        self.writer.close(None, 0)

    def _observe_clock(self) -> None:
        jumped = self.identity.observe(self._clock.now_ms())
        for record in jumped or ():
            self.commit.add_control(record)

    def _answer(self, waiters: Sequence[EventId], *, recorded: bool) -> None:
        (self._truth.acknowledged if recorded else self._truth.doubted).update(waiters)


def name(event_id: EventId) -> str:
    return f"{event_id[0][:4]}.{event_id[1]}"


def describe(batch: list[Entry[EventId]] | Control) -> str:
    if isinstance(batch, Control):
        return str(batch)
    return " ".join(name((entry.edge_id, entry.seq)) for entry in batch)
