"""A whole edge on three brokers: clicks a second with many in flight, and what a click costs at fixed rates."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka.admin import AdminClient
from deploy.local.kafka import Kafka
from deploy.local.role import Role, toml

from adtally.clock import SYSTEM_CLOCK
from adtally.eventlog.kafka.ends import Ends
from adtally.eventlog.kafka.topics import Topics, client_settings
from adtally.eventlog.port import SHARED_PREFIX, Partition
from adtally.folder import DataFolder
from adtally.traffic.load import Load, LoadReport, LoadSettings
from adtally.traffic.plan import Plan, PlanSettings, numbered_ads
from bench.processes import cpu_s
from bench.results import Row
from bench.system import put_ads
from bench.topic_clicks import PARTITIONS
from bench.wrk import run_wrk

TOPIC: Final = "clicks"
ADS: Final = 10_000
MODES: Final = (("keep-alive, 64 connections", 64, False), ("keep-alive, 256 connections", 256, False),
                ("64 connections, a new one for each click", 64, True))  # fmt: skip
RATES: Final = (500, 2_000, 5_000)

PEOPLE: Final = """
request = function()
  local ad, user = math.random(1, 9999), math.random(5000000)
  return wrk.format(nil, string.format("/click?ad_id=ad_%06d&user_id=user_%07d", ad, user))
end
"""
"""Many people on many ads: one alone would fill one partition."""


class Used(msgspec.Struct, frozen=True):
    """CPU seconds so far."""

    edge: float
    brokers: float


class Edge(msgspec.Struct, frozen=True):
    """An edge process and its brokers."""

    role: Role
    kafka: Kafka

    @property
    def address(self) -> tuple[str, int]:
        """Give where clicks go."""
        return "127.0.0.1", self.role.port or 0

    def used(self) -> Used:
        """Give what both have used."""
        return Used(cpu_s([self.role.pid]), cpu_s(broker.pid for broker in self.kafka.brokers))


def measure(quick: bool) -> list[Row]:
    """Give a row for each way of connecting, by wrk, and for each rate, by our own load.

    Raises SystemExit where a click that was answered is not in the brokers' log.
    """
    seconds = 8.0 if quick else 20.0
    with tempfile.TemporaryDirectory(prefix="adtally-bench-") as name, _edge(Path(name)) as edge:
        script = Path(name) / "people.lua"
        script.write_text(PEOPLE, encoding="ascii")
        run_wrk(edge.address, 64, 3, None, close=False, script=script)
        rows = [_by_wrk(edge, script, *mode, seconds) for mode in MODES]
        return rows + [_at(edge, rate, seconds) for rate in RATES]


@contextmanager
def _edge(root: Path) -> Iterator[Edge]:
    kafka = Kafka(root / "kafka")
    config = root / "adtally.toml"
    role = Role(root / "edge", "edge", config)
    try:
        kafka.start()
        settings = {"log": {"brokers": list(kafka.addresses), "topic": TOPIC, "partitions": PARTITIONS}}
        config.write_text(toml(settings), encoding="utf-8")
        folder = DataFolder(role.data_folder)
        folder.prepare()
        put_ads(folder, ADS)
        role.start()
        yield Edge(role, kafka)
    finally:
        role.stop()
        kafka.kill()


def _by_wrk(edge: Edge, script: Path, what: str, connections: int, close: bool, seconds: float) -> Row:
    before, used, began_s = _durable(edge), edge.used(), SYSTEM_CLOCK.monotonic_s()
    answered = run_wrk(edge.address, connections, seconds, None, close=close, script=script)
    taken_s = SYSTEM_CLOCK.monotonic_s() - began_s
    number = _durable(edge) - before
    if number < answered * (seconds - 1):
        raise SystemExit(f"{answered:,.0f} clicks were answered each second, and {number:,} are in the log")
    return _row(
        f"an edge on three brokers, one process, wrk beside it: {what}", edge, used, number, number / taken_s, ""
    )


def _at(edge: Edge, rate: int, seconds: float) -> Row:
    used, before = edge.used(), _durable(edge)
    plan = Plan(PlanSettings(rate=rate), numbered_ads(ADS), f"bench-{rate}")
    host, port = edge.address
    load = Load(plan, LoadSettings(host, port, rate, seconds), SYSTEM_CLOCK)
    report: LoadReport = asyncio.run(load.run())
    number = _durable(edge) - before
    if report.unrecorded or report.unknown or report.refused or number < report.recorded:
        raise SystemExit(f"of {report.sent:,} clicks {number:,} are in the log: {report}")
    took = f"p50 {report.latency.p50_ms:.1f} ms, p99 {report.latency.p99_ms:.1f} ms from the intended times"
    return _row(f"the same at {rate:,} clicks/s by our own load", edge, used, number, report.achieved_rate, took)


def _row(what: str, edge: Edge, before: Used, number: int, rate: float, runs: str) -> Row:
    after = edge.used()
    mine, theirs = ((after.edge - before.edge) * 1e6 / number, (after.brokers - before.brokers) * 1e6 / number)
    return Row(
        "edge-kafka", what, f"{rate:,.0f}/s durable; CPU s a million: edge {mine:.1f}, brokers {theirs:.1f}", runs
    )


def _durable(edge: Edge) -> int:
    """Give how many events the brokers hold."""
    ends = Ends(AdminClient(client_settings(edge.kafka.addresses)), Topics(TOPIC), SYSTEM_CLOCK)
    partitions = [Partition(f"{SHARED_PREFIX}{number}") for number in range(PARTITIONS)]
    return sum(ends.end(partition, partitions) for partition in partitions)
