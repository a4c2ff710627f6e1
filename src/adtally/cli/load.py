"""`adtally load`: open-loop traffic against a running system, and the truth about it."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec
import uvloop

from adtally.cli.target import Target, resolve, target_options
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import UsageError
from adtally.traffic.fetch import active_ads
from adtally.traffic.load import Load, LoadReport, LoadSettings
from adtally.traffic.plan import Plan, PlanSettings, numbered_ads
from adtally.traffic.truth import TruthWriter

HTTP_PORT: Final = 80


@click.command(
    help="Send open-loop traffic: Zipf ads, double clicks, retries, bots. Latency counts from intended times."
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), required=True, help="Attempts per second.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), required=True)
@click.option("--truth", type=click.Path(path_type=Path), metavar="FILE", help="Write every attempt to FILE.")
@click.option("--ads", type=click.IntRange(min=1), default=10_000, show_default=True, help="Use this many ads at most.")
@click.option("--ad-prefix", help="Use PREFIX000001... without asking the API which ads there are.")
@click.option("--zipf", type=click.FloatRange(1.0, 2.0), default=1.2, show_default=True, help="Exponent of popularity.")
@click.option("--seed", type=click.IntRange(min=0), help="Same seed, same traffic (default: from the clock).")
@click.option("--connections", type=click.IntRange(1, 10_000), default=64, show_default=True)
@click.option(
    "--answer-timeout", type=click.FloatRange(min=0, min_open=True), default=10, show_default=True, metavar="SECONDS"
)
@click.option("--url-click", metavar="ADDRESS", help="Where clicks go, if the system is elsewhere.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@target_options
def command(
    rate: float,
    seconds: float,
    truth: Path | None,
    ads: int,
    ad_prefix: str | None,
    zipf: float,
    seed: int | None,
    connections: int,
    answer_timeout: float,
    url_click: str | None,
    as_json: bool,
    data_dir: Path,
    url: str | None,
    key: str | None,
) -> None:
    """Send the traffic, print the summary; exit 1 if nothing was answered."""
    target = resolve(data_dir, url, key)
    host, port = _address(url_click or _click_url(target))
    ad_ids = numbered_ads(ads, ad_prefix) if ad_prefix is not None else _active_ads(target, ads)
    if not ad_ids:
        raise UsageError("there are no active ads: import some with `adtally ads import FILE`")
    # Another seed is other people: two loads in a row must not be duplicates of each other.
    chosen_seed = SYSTEM_CLOCK.now_ms() & 0xFFFFFFFF if seed is None else seed
    plan = Plan(
        PlanSettings(seed=chosen_seed, rate=rate, zipf=zipf),
        ad_ids,
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
    )
    settings = LoadSettings(host, port, rate, seconds, connections, answer_timeout)
    written: AbstractContextManager[TruthWriter | None] = (
        nullcontext() if truth is None else TruthWriter(truth, SYSTEM_CLOCK)
    )
    with written as writer:
        report = uvloop.run(_run(plan, settings, writer))
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        _print_summary(report, chosen_seed)
    if report.answered == 0:
        sys.exit(1)


async def _run(plan: Plan, settings: LoadSettings, truth: TruthWriter | None) -> LoadReport:
    load = Load(plan, settings, SYSTEM_CLOCK, truth)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, load.stop)
    return await load.run(_progress(settings) if sys.stderr.isatty() else None)


def _progress(settings: LoadSettings) -> Callable[[LoadReport], None]:
    def show(report: LoadReport) -> None:
        line = (
            f"{report.seconds:6.1f} of {settings.seconds:g} s  {report.achieved_rate:9,.0f}/s  "
            f"p99 {report.latency.p99_ms:8.1f} ms  unknown {report.unknown:,}  waiting {report.unsent:,}"
        )
        # Erases what a longer line before it left.
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    return show


def _print_summary(report: LoadReport, seed: int) -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    latency = report.latency
    print(f"asked for   {report.rate:,.0f}/s, seed {seed}")
    print(f"achieved    {report.achieved_rate:,.0f}/s for {report.seconds:.1f} s")
    print(
        f"latency     p50 {latency.p50_ms:.1f}  p90 {latency.p90_ms:.1f}  p99 {latency.p99_ms:.1f}  "
        f"p99.9 {latency.p999_ms:.1f}  max {latency.max_ms:.1f} ms, from the intended time"
    )
    print(f"sent        {report.sent:,}, of these retries of lost ones {report.retries:,}")
    print(f"answered    {report.answered:,} ({', '.join(f'{s}: {n:,}' for s, n in report.statuses.items())})")
    print(f"recorded    {report.recorded:,}, sent on but not recorded {report.unrecorded:,}")
    print(f"unknown     {report.unknown:,}, never sent {report.unsent:,}")


def _active_ads(target: Target, number_max: int) -> list[str]:
    client = target.client()
    with client.http:
        return active_ads(client, number_max)


def _click_url(target: Target) -> str:
    if target.click_url is None:
        raise UsageError(
            f"nothing runs on {target.folder.root}: start `adtally up --data-dir {target.folder.root}`, "
            "or say where clicks go with --url-click"
        )
    return target.click_url


def _address(click_url: str) -> tuple[str, int]:
    """Give host and port of `http://host:port` or `host:port`. Raises UsageError."""
    try:
        parts = urlsplit(click_url if "//" in click_url else f"//{click_url}", scheme="http")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--url-click {click_url!r}: {error}") from None
    if parts.scheme != "http" or host is None or parts.path.strip("/") or parts.query:
        raise UsageError(f"--url-click {click_url!r}: expected http://HOST:PORT")
    return host, port or HTTP_PORT
