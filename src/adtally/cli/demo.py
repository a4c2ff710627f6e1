"""`adtally demo`: from nothing to a dashboard with moving numbers, and with --seconds to a proof that they hold."""

import asyncio
import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec

from adtally.cli.target import ApiClient
from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, load
from adtally.errors import AdtallyError, UsageError
from adtally.folder import DataFolder
from adtally.registry.port import Ad

SHOPS: Final = (("northwind", "Northwind Shoes"), ("lumen", "Lumen Lamps"), ("fjord", "Fjord Outdoor"))
SEASONS: Final = ("spring", "sale", "brand")
SIZES: Final = ("300x250", "728x90", "320x50")
PREFERRED_PORTS: Final = (8080, 8081)
WAIT_S: Final = 30.0
CLUSTER_DIR: Final = Path("adtally-cluster")
EDGES_COPY_S: Final = 3.0
CLUSTER_WAIT_S: Final = 240.0
"""A stream without a common order of all edges says only after the lateness that it has counted up to a time."""


class RunningCluster(msgspec.Struct, frozen=True):
    """Of `cluster.json`, what the demo needs."""

    click_url: str
    api_url: str
    admin_key_file: str


def sample_ads() -> list[Ad]:
    """Give the demo's ads: three advertisers with three campaigns of three sizes each."""
    return [
        Ad(
            ad_id=f"{shop}-{season}-{size}",
            advertiser_id=shop,
            landing_url=f"https://{shop}.example/{season}?click={{click_id}}",
            campaign_id=f"{shop}-{season}",
            name=f"{name}, {season} {size}",
        )
        for shop, name in SHOPS
        for season in SEASONS
        for size in SIZES
    ]


@click.command("demo", help="From nothing to a dashboard with moving numbers. Ends with Ctrl-C, or after --seconds.")
@click.option("--seconds", type=click.FloatRange(min=1), help="Send so long, compare the counts, and end.")
@click.option("--rate", type=click.FloatRange(min=1), default=150, show_default=True, help="Requests per second.")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Keep the data here.")
@click.option("--cluster", is_flag=True, help="Use the cluster that `make cluster` has started.")
@click.option("--cluster-dir", type=click.Path(path_type=Path), default=CLUSTER_DIR, show_default=True, metavar="DIR")
def command(seconds: float | None, rate: float, data_dir: Path | None, cluster: bool, cluster_dir: Path) -> None:
    """Run the demo; with --seconds exit 0 only if what was counted agrees with what was sent."""
    if cluster:
        running = _running_cluster(cluster_dir / "cluster.json")
        key = Path(running.admin_key_file).read_text(encoding="ascii").strip()
        if not asyncio.run(_demo_on_cluster(running, key, seconds, rate)):
            sys.exit(1)
        return
    from adtally.process.supervisor import open_folder
    from adtally.telemetry import configure_logging

    with ExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adtally-demo-"))) / "data"
        folder, _lock = open_folder(data_dir)
        click_port, api_port = (port if _free(port) else 0 for port in PREFERRED_PORTS)
        flags = {"edge.port": click_port, "serve.port": api_port, "edge.event_header": True}
        configure_logging("demo")
        agrees = asyncio.run(_demo(folder, load(None, flags).config, seconds, rate))
    if not agrees:
        sys.exit(1)


async def _demo(folder: DataFolder, config: Config, seconds: float | None, rate: float) -> bool:
    from adtally import wiring
    from adtally.process.supervisor import Supervisor, start

    wiring.open_registry(folder, config).upsert_ads(sample_ads())
    supervisor = Supervisor(folder, config)
    running, stop = await start(supervisor)
    agrees = True
    if not running.done():
        key = folder.admin_key.read_text(encoding="ascii").strip()
        print(f"adtally is ready: {len(sample_ads())} ads, {rate:g} requests a second, 5 % double clicks, 2 % bots")
        print(f"  open   {supervisor.sign_in_url}  (signs in, once, within ten minutes)")
        print(f"  click  curl -i '{supervisor.click_url}/click?ad_id={sample_ads()[0].ad_id}&user_id=me'")
        print("  end    Ctrl-C" if seconds is None else f"  end    after {seconds:g} seconds", flush=True)
        client, truth = ApiClient(supervisor.api_url, key), folder.run / "demo.truth"
        agrees = await _traffic(supervisor.click_url, client, seconds, rate, stop, truth, WAIT_S)
    stop.set()
    await running
    return agrees


def _running_cluster(state_file: Path) -> RunningCluster:
    """Read where a cluster is reached. Raises UsageError where none runs."""
    try:
        return msgspec.json.decode(state_file.read_bytes(), type=RunningCluster)
    except FileNotFoundError:
        raise UsageError(f"no cluster runs in {state_file.parent}: `make cluster` starts one") from None


async def _demo_on_cluster(cluster: RunningCluster, key: str, seconds: float | None, rate: float) -> bool:
    """Make the sample ads on a running cluster, send traffic, compare."""
    from adtally.cli.registry_access import ApiAccess

    ads, client = sample_ads(), ApiClient(cluster.api_url, key)
    stored = ApiAccess(client).import_ads(list(range(1, len(ads) + 1)), ads)
    if stored.errors:
        raise AdtallyError(f"the sample ads were not stored: {stored.errors[0].reason}")
    print(f"{len(ads)} ads, {rate:g} requests a second, 5 % double clicks, 2 % bots")
    print(f"  open   {cluster.api_url}  (sign in with the key in {cluster.admin_key_file})")
    print(f"  click  curl -i '{cluster.click_url}/click?ad_id={ads[0].ad_id}&user_id=me'")
    print("  end    Ctrl-C" if seconds is None else f"  end    after {seconds:g} seconds", flush=True)
    # Edges copy the ads within a second. To ask one for an ad would be a click that the comparison does not know.
    await asyncio.sleep(EDGES_COPY_S)
    with tempfile.TemporaryDirectory(prefix="adtally-demo-") as folder:
        truth, stop = Path(folder) / "demo.truth", asyncio.Event()
        return await _traffic(cluster.click_url, client, seconds, rate, stop, truth, CLUSTER_WAIT_S)


async def _traffic(
    click_url: str,
    client: ApiClient,
    seconds: float | None,
    rate: float,
    stop: asyncio.Event,
    truth: Path,
    wait_s: float,
) -> bool:
    """Send traffic until `seconds` are over or `stop` is set, then compare. Give whether all agrees."""
    from adtally.cli.verify import table
    from adtally.traffic.fetch import verify
    from adtally.traffic.load import Load, LoadSettings
    from adtally.traffic.plan import Plan, PlanSettings
    from adtally.traffic.truth import TruthFile, TruthWriter
    from adtally.traffic.verify import expect

    parts = urlsplit(click_url)
    settings = LoadSettings(parts.hostname or "", parts.port or 80, rate, seconds, connections=16)
    plan = Plan(
        PlanSettings(seed=SYSTEM_CLOCK.now_ms() & 0xFFFFFFFF, rate=rate),
        [ad.ad_id for ad in sample_ads()],
        f"{parts.hostname}:{parts.port}",
    )
    with TruthWriter(truth, SYSTEM_CLOCK) if seconds is not None else ExitStack() as writer:
        load_ = Load(plan, settings, SYSTEM_CLOCK, writer if isinstance(writer, TruthWriter) else None)
        sending = asyncio.create_task(load_.run(None))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({sending, stopped}, return_when=asyncio.FIRST_COMPLETED)
        load_.stop()
        await sending
        stopped.cancel()
        with suppress(asyncio.CancelledError):
            await stopped
    if seconds is None:
        return True
    expectation = expect(TruthFile(truth))
    result, current = await asyncio.to_thread(verify, client, expectation, wait_s, SYSTEM_CLOCK)
    print(table(result))
    if not current:
        print(f"the numbers did not catch up within {wait_s:g} s", file=sys.stderr)
    return result.agrees and current


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
