"""`adtally up`: the whole system on one folder."""

import asyncio
from pathlib import Path

import click

from adtally.cli.target import DEFAULT_DATA_DIR
from adtally.config import Config, load
from adtally.folder import DataFolder


@click.command("up", help="Run the whole system on one folder, until Ctrl-C.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, metavar="DIR")
@click.option("--host", help="Address to listen on, for clicks and the API.  [default: 127.0.0.1]")
@click.option("--click-port", type=int, help="Port for clicks; 0 takes a free one.  [default: 8080]")
@click.option("--api-port", type=int, help="Port for the API and the page; 0 takes a free one.  [default: 8081]")
@click.option("--edges", type=int, help="Edge workers.  [default: one for each two processors]")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file.  [default: DIR/config.toml]")
def command(
    data_dir: Path, host: str | None, click_port: int | None, api_port: int | None, edges: int | None,
    config_file: Path | None,
) -> None:  # fmt: skip
    """Run `up`."""
    from adtally.process.supervisor import open_folder
    from adtally.telemetry import configure_logging

    folder, _lock = open_folder(data_dir)
    flags = {
        "edge.host": host,
        "serve.host": host,
        "edge.port": click_port,
        "serve.port": api_port,
        "edge.workers": edges,
    }
    config = load(config_file or (folder.config if folder.config.exists() else None), flags).config
    configure_logging("up")
    asyncio.run(run_until_signal(folder, config))


async def run_until_signal(folder: DataFolder, config: Config) -> None:
    """Run the system until SIGTERM or Ctrl-C, and tell when it is ready and where."""
    from adtally.process.supervisor import Supervisor, start

    supervisor = Supervisor(folder, config)
    running, _ = await start(supervisor)
    if not running.done():
        click.echo("adtally is ready")
        click.echo(f"  clicks     {supervisor.click_url}/click?ad_id=...&user_id=...")
        click.echo(f"  API, page  {supervisor.api_url}/")
        click.echo(f"  admin key  {folder.admin_key}")
        if supervisor.sign_in_url:
            click.echo(f"  open       {supervisor.sign_in_url}  (signs in, once, within ten minutes)")
    await running
