"""One real edge process before a real Kafka, under load: what it says, and what the log holds at the end."""

import contextlib
import subprocess
import threading
import time
import urllib.error
import urllib.request
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local.kafka import Kafka
from deploy.local.role import Role, toml

from adtally.event import Closing, Control, Event, Heartbeat, Lost, decode_control, decode_event_lines
from adtally.eventlog.port import CONTROLS, Partition, is_shared
from adtally.traffic.truth import TruthFile, TruthLine
from support.embedded import ADTALLY, wait_for
from support.kafka_logs import whole_log
from support.patience import PATIENCE_S
from support.whole import Traffic

ADS = 30
PARTITIONS = 4
SAMPLE_S = 0.25


class Sample(NamedTuple):
    """What the edge said of itself at a moment, epoch ms."""

    at_ms: int
    spool_bytes: float
    oldest_s: float
    drained: float
    full: bool
    unrecorded: float


class Appended(NamedTuple):
    """An event of the log, with the brokers' time of its append."""

    event: Event
    appended_ms: int
    partition: Partition


class EdgeBeforeKafka:
    """An edge that `adtally edge` runs, with a data folder and a topic of its own."""

    def __init__(self, kafka: Kafka, folder: Path, spool_bytes_max: int = 1 << 30) -> None:
        self.kafka = kafka
        self.topic = f"spool-{time.time_ns()}"
        self.samples: list[Sample] = []
        self.truth = folder / "truth"
        config = folder / "config.toml"
        log = {
            "brokers": list(kafka.addresses), "topic": self.topic, "partitions": PARTITIONS,
            "replicas": len(kafka.brokers), "spool_bytes_max": spool_bytes_max,
        }  # fmt: skip
        config.write_text(toml({"log": log, "edge": {"event_header": True}}))
        self.role = Role(folder / "edge", "edge", config)
        self.ad_ids = [f"ad_{number}" for number in range(ADS)]
        ads = folder / "ads.csv"
        ads.write_text(
            "ad_id,advertiser_id,landing_url\n" + "".join(f"{ad},a,https://a.example\n" for ad in self.ad_ids)
        )
        command = [*ADTALLY, "ads", "import", str(ads), "--data-dir", str(self.role.data_folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let the edge run, and take samples of what it says; at the end it is told to stop, as an operator does."""
        self.role.start()
        self.samples.append(self.metrics())
        ended = threading.Event()
        sampler = threading.Thread(target=self._sample, args=(ended,))
        sampler.start()
        try:
            yield
        finally:
            ended.set()
            sampler.join()
            self.role.stop()

    @contextlib.contextmanager
    def traffic(self, seed: int, rate: float) -> Iterator[Traffic]:
        """Send clicks until the block's end."""
        assert self.role.port is not None
        traffic = Traffic(self.role.port, self.ad_ids, self.truth, seed, rate)
        try:
            yield traffic
        finally:
            traffic.end()

    @property
    def now(self) -> Sample:
        """Give what it said last."""
        return self.samples[-1]

    def readiness(self) -> tuple[int, str]:
        """Give what `/-/readyz` says; 0 where there is no answer."""
        try:
            with urllib.request.urlopen(f"http://{self.role.address}/-/readyz", timeout=30) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metrics(self) -> Sample:
        """Ask for its metrics."""
        with urllib.request.urlopen(f"http://{self.role.address}/-/metrics", timeout=30) as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")]
        found = {name: float(value) for name, _, value in lines}
        unrecorded = sum(value for name, value in found.items() if name.startswith("adtally_edge_unrecorded_total"))
        spool = (found[f"adtally_edge_spool_{name}"] for name in ("bytes", "oldest_seconds", "drained_total", "full"))
        size, oldest_s, drained, full = spool
        return Sample(round(time.time() * 1000), size, oldest_s, drained, full == 1, unrecorded)

    def lines(self) -> list[TruthLine]:
        """Give what was sent, and what came back."""
        return list(TruthFile(self.truth))

    def log(self) -> tuple[list[Appended], list[tuple[Control, int]]]:
        """Give all events by partition in the log's order, and all control records with the time of their append."""
        events, controls = self._log()
        if not closings(controls):
            # Brokers that stall while the edge stops take no closing record: then the next start brings it.
            with self.running():
                wait_for(lambda: bool(closings(self._log()[1])), PATIENCE_S, "the next start closes the log")
            events, controls = self._log()
        return events, controls

    def _log(self) -> tuple[list[Appended], list[tuple[Control, int]]]:
        events: list[Appended] = []
        controls: list[tuple[Control, int]] = []
        for each in whole_log(self.kafka.addresses, self.topic):
            if is_shared(each.partition):
                events += [Appended(e, each.appended_ms, each.partition) for e in decode_event_lines(each.payload)]
            elif each.partition == CONTROLS:
                controls.append((decode_control(each.payload), each.appended_ms))
        return events, controls

    def _sample(self, ended: threading.Event) -> None:
        while not ended.wait(SAMPLE_S):
            with contextlib.suppress(OSError):
                self.samples.append(self.metrics())


def freeze_then_kill(kafka: Kafka, seconds: float) -> int:
    """Take the brokers away: half of the time they are silent, then they refuse connections. They stay away.

    Gives when they began to refuse, epoch ms.
    """
    kafka.freeze()
    time.sleep(seconds / 2)
    kafka.kill()
    killed_ms = round(time.time() * 1000)
    time.sleep(seconds / 2)
    return killed_ms


def first_appends(events: Sequence[Appended]) -> list[Appended]:
    """Leave out what the log holds again."""
    seen: set[tuple[str, int]] = set()
    first: list[Appended] = []
    for each in events:
        identity = (each.event.edge_id, each.event.seq)
        if identity not in seen:
            seen.add(identity)
            first.append(each)
    return first


def ascending_runs(numbers: Sequence[int]) -> int:
    """Give of how many ascending sequences, at the least, these numbers can have been merged."""
    # Negated, so that bisect finds the run that ends highest among those that end lower.
    ends: list[int] = []
    for number in numbers:
        place = bisect_right(ends, -number)
        ends[place : place + 1] = [-number]
    return len(ends)


def broken_promises(events: Sequence[Appended], controls: Sequence[tuple[Control, int]]) -> list[Event]:
    """Give the events that came into the log after a heartbeat had said that none so old would come any more."""
    beats = sorted(
        (at_ms, each.edge_id, min(each.ts_ms, each.oldest_spooled_ts_ms or each.ts_ms))
        for each, at_ms in controls
        if isinstance(each, Heartbeat)
    )
    broken: list[Event] = []
    bounds: dict[str, int] = {}
    position = 0
    for event, at_ms, _ in sorted(events, key=lambda each: each.appended_ms):
        while position < len(beats) and beats[position][0] < at_ms:
            _, edge_id, bound_ms = beats[position]
            bounds[edge_id] = max(bounds.get(edge_id, 0), bound_ms)
            position += 1
        if event.ts_ms < bounds.get(event.edge_id, 0):
            broken.append(event)
    return broken


def lost_numbers(controls: Sequence[tuple[Control, int]]) -> set[int]:
    """Give the numbers that the log says were lost; of a log of one edge."""
    losses = [each for each, _ in controls if isinstance(each, Lost)]
    return {number for each in losses for number in range(each.first_seq, each.last_seq + 1)}


def closing(controls: Sequence[tuple[Control, int]]) -> Closing:
    """Give the closing record of the edge that had clicks; the log may hold it again."""
    found = closings(controls)
    assert len({(each.edge_id, each.last_seq) for each in found}) == 1, found
    return found[0]


def closings(controls: Sequence[tuple[Control, int]]) -> list[Closing]:
    """Give the closing records of edges that had clicks."""
    return [each for each, _ in controls if isinstance(each, Closing) and each.last_seq]


class Waits(NamedTuple):
    """How long clicks waited for their answers, from when they were to be sent; ms."""

    number: int
    p50: int
    p99: int
    longest: int

    def __str__(self) -> str:
        return f"{self.number} clicks, p50 {self.p50} ms, p99 {self.p99} ms, longest {self.longest} ms"


def waits(lines: Sequence[TruthLine], begin_ms: int, end_ms: int) -> Waits:
    """Give the waits of the clicks of some time that were answered by a 302."""
    found = sorted(
        line.ended_ms - line.intended_ms
        for line in lines
        if begin_ms <= line.intended_ms < end_ms and line.status == 302
    )
    if not found:
        return Waits(0, 0, 0, 0)
    return Waits(len(found), found[len(found) // 2], found[len(found) * 99 // 100], found[-1])


def seq_of(line: TruthLine) -> int:
    """Give the number of an attempt's event."""
    ref = line.event_ref()
    assert ref is not None
    return ref.seq
