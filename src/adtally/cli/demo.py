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

from adtally.cli.target import ApiClient
from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, load
from adtally.folder import DataFolder
from adtally.registry.port import Ad

SHOPS: Final = (("northwind", "Northwind Shoes"), ("lumen", "Lumen Lamps"), ("fjord", "Fjord Outdoor"))
SEASONS: Final = ("spring", "sale", "brand")
SIZES: Final = ("300x250", "728x90", "320x50")
PREFERRED_PORTS: Final = (8080, 8081)
WAIT_S: Final = 30.0


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
def command(seconds: float | None, rate: float, data_dir: Path | None) -> None:
    """Run the demo; with --seconds exit 0 only if what was counted agrees with what was sent."""
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
        agrees = await _traffic(supervisor.click_url, supervisor.api_url, key, seconds, rate, stop, folder)
    stop.set()
    await running
    return agrees


async def _traffic(
    click_url: str,
    api_url: str,
    key: str,
    seconds: float | None,
    rate: float,
    stop: asyncio.Event,
    folder: DataFolder,
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
    truth = folder.run / "demo.truth"
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
    client = ApiClient(api_url, key)
    result, current = await asyncio.to_thread(verify, client, expectation, WAIT_S, SYSTEM_CLOCK)
    print(table(result))
    if not current:
        print(f"the numbers did not catch up within {WAIT_S:g} s", file=sys.stderr)
    return result.agrees and current


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
