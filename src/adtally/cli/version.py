"""`adtally version`: what to name in a report."""

import platform

import click
import msgspec

from adtally import __version__
from adtally.folder import FOLDER_VERSION


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Show the version of adtally, of its data folder's layout, and of Python."""
    versions = {
        "adtally": __version__,
        "data_folder": FOLDER_VERSION,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if as_json:
        click.echo(msgspec.json.encode(versions))
        return
    click.echo(f"adtally {__version__}")
    click.echo(f"data folder {FOLDER_VERSION}, Python {versions['python']}, {versions['system']}")
