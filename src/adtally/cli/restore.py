"""`adtally restore`: a data folder from a backup."""

from pathlib import Path

import click

from adtally.cli.progress import bytes_bar
from adtally.cli.tables import plural


@click.command("restore")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--data-dir", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A new or empty folder."
)
def command(source: Path, data_dir: Path) -> None:
    """Make a data folder from SOURCE, a backup, or from the newest backup in it.

    Every file is compared with what was backed up. Then `adtally rebuild` makes the store anew, unless it is in the
    backup, and `adtally up` counts what was not counted yet.

    Exit 1 if the backup is damaged, or DIR is not empty.
    """
    from adtally.backup.manifest import newest_backup
    from adtally.backup.restoring import restore

    backup = newest_backup(source)
    with bytes_bar("restore") as progress:
        manifest = restore(backup, data_dir, progress)
    click.echo(f"{plural(len(manifest.files), 'file')} of {backup} restored")
    commands = ("up",) if manifest.store else ("rebuild", "up")
    click.echo("now: " + ", then ".join(f"adtally {command} --data-dir {data_dir}" for command in commands))
