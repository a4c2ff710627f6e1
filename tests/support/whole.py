"""A whole cluster under load, whose parts are killed: the test is the platform that starts them again."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import uvloop
from deploy.local.cluster import Cluster
from deploy.local.role import Role
from deploy.local.server import Server

from adtally.cli.registry_access import ApiAccess
from adtally.cli.target import ApiClient
from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS, minute_of
from adtally.errors import AdtallyError
from adtally.event import Event, decode_event_lines
from adtally.eventlog.port import SHARED_PREFIX, Partition
from adtally.folder import DataFolder
from adtally.registry.port import Ad
from adtally.registry.replica import SqliteAdReplica
from adtally.traffic.fetch import quality, verify, wait_until_complete
from adtally.traffic.load import Load, LoadReport, LoadSettings
from adtally.traffic.plan import Plan, PlanSettings
from adtally.traffic.truth import TruthFile, TruthLine, TruthWriter
from adtally.traffic.verify import Difference, Verification, expect
from support.embedded import wait_for
from support.kafka_logs import whole_log
from support.patience import until_it_answers

ADS = 30
POLL_S = 0.25
CURRENT_S_MAX = 30.0
"""So long a part's recovery is watched; then the next part's turn comes."""
WARM_RATE = 50.0
GOES_ON = 200
"""So many recorded clicks are more than were in flight."""
WAIT_S_MAX = 600.0
"""Deadlines cost nothing where what is waited for comes sooner."""


class Traffic:
    """Load on the cluster's front, in a thread, written down in a truth file. A test ends it."""

    def __init__(self, port: int, ad_ids: list[str], truth: Path, seed: int, rate: float) -> None:
        self.truth = truth
        self.started_ms = SYSTEM_CLOCK.now_ms()
        plan = Plan(PlanSettings(seed=seed, rate=rate), ad_ids, f"127.0.0.1:{port}")
        settings = LoadSettings("127.0.0.1", port, rate, None, connections=24)
        self._writer = TruthWriter(truth, SYSTEM_CLOCK)
        self._load = Load(plan, settings, SYSTEM_CLOCK, self._writer)
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def report(self) -> LoadReport:
        return self._load.report()

    def goes_on(self) -> None:
        """Wait until more clicks are recorded."""
        recorded = self.report().recorded
        wait_for(lambda: self.report().recorded > recorded + GOES_ON, WAIT_S_MAX, "clicks are recorded")

    def end(self) -> None:
        self._load.stop()
        self._thread.join()

    def _run(self) -> None:
        with self._writer:
            uvloop.run(self._sent())

    async def _sent(self) -> None:
        await self._load.run()
        await asyncio.sleep(0)


class Row(msgspec.Struct, frozen=True):
    """What became of one killing or freezing."""

    part: str
    did: str
    ready_s: float
    """From the blow until the part answered again."""
    current_s: float | None
    """From the blow until all was counted that had been recorded when the part answered; None: not in time."""
    unknown: int
    unrecorded: int


class Whole:
    """A running cluster with its admin's client, and ads that its edges know."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.client = ApiClient(cluster.api_url, cluster.admin_key.read_text(encoding="ascii").strip())
        self.ad_ids: list[str] = []
        self.truths: list[Path] = []

    def add_ads(self, prefix: str) -> list[str]:
        """Register ads of their own for a test, and wait until each edge has copied them."""
        ads = [Ad(f"{prefix}_{n}", f"adv_{n % 5}", f"https://shop.example/{n}") for n in range(ADS)]
        report = until_it_answers(lambda: ApiAccess(self.client).import_ads(list(range(1, ADS + 1)), ads))
        assert not report.errors
        self.ad_ids = [ad.ad_id for ad in ads]
        for edge in self.cluster.edges:
            if edge.alive:
                self._wait_copied(edge)
        return self.ad_ids

    def _wait_copied(self, edge: Role) -> None:
        with contextlib.closing(SqliteAdReplica(DataFolder(edge.data_folder).ads)) as replica:
            wait_for(lambda: replica.find(self.ad_ids[-1]) is not None, WAIT_S_MAX, f"{edge.name} copies the ads")

    @contextlib.contextmanager
    def traffic(self, name: str, seed: int, rate: float) -> Iterator[Traffic]:
        """Send clicks until the block's end."""
        self.truths.append(self.folder / name)
        traffic = Traffic(self.cluster.haproxy.click_port, self.ad_ids, self.folder / name, seed, rate)
        try:
            yield traffic
        finally:
            traffic.end()

    def received(self, since_ms: int) -> int:
        """Give how many events the API knows of; -1 while it does not answer."""
        try:
            return quality(self.client, minute_of(since_ms), minute_of(SYSTEM_CLOCK.now_ms()) + MINUTE_MS).received
        except AdtallyError:
            return -1

    def warm_up(self) -> None:
        """Send clicks until some are counted: a new cluster's stream takes its time to begin."""
        self.add_ads("warm")
        with self.traffic("warm.truth", 1, WARM_RATE) as traffic:
            wait_for(lambda: self.received(traffic.started_ms) > 0, WAIT_S_MAX, "clicks are counted")

    def blow(
        self, traffic: Traffic, part: str, did: str, strike: Callable[[], None], watch_s: float = CURRENT_S_MAX
    ) -> Row:
        """Strike a part, which answers again when `strike` returns, and watch the numbers until they caught up.

        They are watched for `watch_s` seconds at most.
        """
        before, received = traffic.report(), self.received(traffic.started_ms)
        # What the log holds twice was received too, so there may be more than was recorded.
        more = max(0, received - before.recorded)
        begun_s, current_s = time.monotonic(), None
        strike()
        ready_s = time.monotonic() - begun_s
        wanted = traffic.report().recorded + more
        while current_s is None and time.monotonic() - begun_s < ready_s + watch_s:
            if self.received(traffic.started_ms) >= wanted:
                current_s = time.monotonic() - begun_s
            else:
                time.sleep(POLL_S)
        after = traffic.report()
        row = Row(
            part, did, ready_s, current_s, after.unknown - before.unknown, after.unrecorded - before.unrecorded
        )  # fmt: skip
        print(line(row), flush=True)
        return row

    def verified(self) -> Verification:
        """Compare what was counted with all that was ever sent, when all of it can have been counted.

        What the log holds besides the events that were acknowledged is no difference: it may be received as well.
        """
        expected = expect(self._sent())
        current = wait_until_complete(self.client, expected.last_ms, WAIT_S_MAX, SYSTEM_CLOCK)
        assert current, f"the numbers did not catch up within {WAIT_S_MAX:g} s"
        result, _ = until_it_answers(lambda: verify(self.client, expected, 0, SYSTEM_CLOCK))
        more = self.more_in_log()
        kept = without_overtaken(result.differences)
        print(f"minutes of which a click is in the next or last one, as its duplicate was read first: {kept[1]}")
        wrong = [each for each in kept[0] if not each.least <= each.found <= each.most + more[each.measure]]
        return msgspec.structs.replace(result, differences=tuple(wrong))

    def more_in_log(self) -> Counter[str]:
        """Give how many messages of the log are not an acknowledged event's first one, `received` and `invalid`.

        Flink counts an event that the log holds again as a duplicate, or as invalid (decision 0019). And HAProxy asks
        another edge where one dies before it answers, though that one may have recorded the click: an event more, which
        is a duplicate. Fails if an acknowledged event is not in the log.
        """
        refs = (line.event_ref() for line in self._sent() if line.recorded)
        missing = {(ref.edge_id, ref.seq) for ref in refs if ref is not None}
        acknowledged, seen = len(missing), set[tuple[str, int]]()
        more = Counter[str]()
        for event in self._events():
            identity = (event.edge_id, event.seq)
            more["again"] += identity in seen
            seen.add(identity)
            if identity in missing:
                missing.remove(identity)
                continue
            more["received"] += 1
            more["invalid"] += event.verdict != "ok"
        print(f"acknowledged {acknowledged}, not in the log {len(missing)}, in the log besides: {dict(more)}")
        assert not missing, sorted(missing)[:3]
        return more

    def _sent(self) -> Iterator[TruthLine]:
        return itertools.chain.from_iterable(TruthFile(truth) for truth in self.truths)

    def _events(self) -> Iterator[Event]:
        topic = str(self.cluster.settings()["log"]["topic"])
        for each in whole_log(self.cluster.kafka.addresses, topic, _holds_clicks):
            yield from decode_event_lines(each.payload)


def without_overtaken(found: Iterable[Difference]) -> tuple[list[Difference], int]:
    """Leave out minutes of ads whose differences cancel each other out, and give how many these were.

    A partition is read in its own order: of a click and its duplicate in the next minute, the one that was appended
    first is counted live. The recount is right.
    """
    differences, sums = list(found), Counter[str]()
    for each in differences:
        if each.ad_id is not None and each.minute_ms is not None:
            sums[each.ad_id] += each.found - min(max(each.found, each.least), each.most)
    kept = [each for each in differences if each.ad_id is None or each.minute_ms is None or sums[each.ad_id]]
    return kept, len(differences) - len(kept)


def _holds_clicks(partition: Partition) -> bool:
    return partition.startswith(SHARED_PREFIX)


def killed(part: Server, away_s: float = 0.0) -> Callable[[], None]:
    """Kill a part with -9, and start it again."""

    def strike() -> None:
        part.kill()
        time.sleep(away_s)
        part.start()

    return strike


def frozen(part: Server, seconds: float) -> Callable[[], None]:
    """Stop a part's execution for so long."""

    def strike() -> None:
        part.freeze()
        time.sleep(seconds)
        part.thaw()
        wait_for(lambda: answers(part), WAIT_S_MAX, f"{part.name} answers after it was frozen")

    return strike


def answers(part: Server) -> bool:
    with contextlib.suppress(Exception):
        return part.ready()
    return False


def line(row: Row) -> str:
    current = "later" if row.current_s is None else f"{row.current_s:.1f}"
    return (
        f"  {row.part:16} {row.did:14} ready {row.ready_s:5.1f} s  current {current:>5} s  "
        f"unanswered {row.unknown:5}  not recorded {row.unrecorded:5}"
    )
