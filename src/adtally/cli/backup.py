"""`adtally backup`: a copy of a data folder from which it can be made again."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from adtally.cli.progress import bytes_bar
from adtally.cli.tables import plural, print_table
from adtally.cli.target import DEFAULT_DATA_DIR, config_file_of
from adtally.config import load
from adtally.errors import UsageError
from adtally.folder import DataFolder


@click.command("backup")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, metavar="DIR")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file.  [default: DIR/config.toml]")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Then remove all but the newest N.  [default: all]")
@click.option("--with-store/--without-store", default=None, help="With olap/, while nothing runs.  [default: without]")
@click.option("--list", "only_list", is_flag=True, help="List the backups in DEST, and make none.")
@click.option("--verify", "only_verify", is_flag=True, help="Check DEST, or the newest backup in it, and make none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    dest: Path, data_dir: Path, config_file: Path | None, keep: int | None, with_store: bool | None, only_list: bool,
    only_verify: bool, as_json: bool,
) -> None:  # fmt: skip
    """Back a data folder up to a new folder in DEST, named after the time, while the system runs or not.

    Every click that was acknowledged before the backup began is in it, with ads, keys, the ledger, dead letters, the
    log and the lake. Files that the newest backup in DEST holds already are linked to it. The store (olap/) is made
    anew from the others after a restore. A backup is as secret as the folder: the admin's key is in it.

    Exit 1 if the backup could not be made, or with --verify if it is damaged.
    """
    if only_list and only_verify:
        raise UsageError("--list and --verify are two commands")
    if only_list:
        _list(dest, as_json)
    elif only_verify:
        _verify(dest, as_json)
    else:
        _take(dest, DataFolder(data_dir), config_file, keep, with_store, as_json)


def _take(
    dest: Path, folder: DataFolder, config_file: Path | None, keep: int | None, store: bool | None, as_json: bool
) -> None:
    from adtally import wiring
    from adtally.telemetry import configure_logging

    folder.check_version()
    configure_logging("backup")
    config = load(config_file_of(folder, config_file)).config
    with ExitStack() as stack:
        if store:
            # Nobody copies chDB's files while it changes them.
            folder.take_lock()
        progress = stack.enter_context(bytes_bar("backup"))
        taken = wiring.take_backup(folder, config, dest, progress, store=store, keep=keep)
    manifest = taken.manifest
    for part in manifest.elsewhere:
        click.echo(f"not in this backup: the {part}, which is on a server of its own (docs/backup.md)", err=True)
    if as_json:
        click.echo(
            msgspec.json.encode({"backup": str(taken.backup), **_told(taken.backup), "copied": taken.copied_bytes})
        )
        return
    click.echo(
        f"{taken.backup}: {plural(len(manifest.files), 'file')}, {manifest.size_bytes:,} bytes, of them "
        f"{taken.copied_bytes:,} copied"
    )
    for old in taken.removed:
        click.echo(f"removed {old}")


def _list(dest: Path, as_json: bool) -> None:
    from adtally.backup.manifest import backups_in

    found = [_told(backup) for backup in backups_in(dest)]
    if as_json:
        click.echo(msgspec.json.encode({"backups": found}))
        return
    columns = ("backup", "begun", "version", "files", "bytes", "store")
    rows = (
        (each["backup"], each["begun"], each["version"], f"{each['files']:,}", f"{each['bytes']:,}", each["store"])
        for each in found
    )
    print_table(columns, (tuple(map(str, row)) for row in rows), numbers={"files", "bytes"})


def _verify(dest: Path, as_json: bool) -> None:
    from adtally.backup.manifest import newest_backup, verify

    backup = newest_backup(dest)
    with bytes_bar("verify") as progress:
        verify(backup, progress)
    if as_json:
        click.echo(msgspec.json.encode(_told(backup)))
    else:
        click.echo(f"{backup} is whole")


def _told(backup: Path) -> dict[str, str | int]:
    from adtally.backup.manifest import read_manifest

    manifest = read_manifest(backup)
    return {
        "backup": str(backup),
        "begun": datetime.fromtimestamp(manifest.begun_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "version": manifest.version,
        "files": len(manifest.files),
        "bytes": manifest.size_bytes,
        "store": "with" if manifest.store else "without",
    }
