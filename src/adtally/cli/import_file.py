"""`adtally import`: clicks of the past, with their own times."""

import sys
from collections import Counter
from pathlib import Path
from typing import Final

import click
import msgspec

from adtally.cli.progress import file_progress
from adtally.cli.tables import plural
from adtally.cli.target import DEFAULT_DATA_DIR, config_file_of
from adtally.config import Config, load
from adtally.folder import DataFolder
from adtally.history.files import FORMATS, FileIdentity, Format, format_of, identify
from adtally.rowfiles import RowError

ERRORS_KEPT_MAX: Final = 1_000
"""In the JSON answer; all of them are told on the standard error output."""


class Imported(msgspec.Struct, frozen=True):
    """What became of a file."""

    edge_id: str
    """Of the events: their seq is the number of their row in the file."""
    imported: int
    already_there: int
    skipped: dict[str, int]
    """Lines of a web server log that are no clicks, by why."""
    bad_rows: int
    errors: list[RowError]
    """The first 1,000."""


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Default: by the file's name.")
@click.option("--strict", is_flag=True, help="Stop at the first bad row; nothing of its batch is imported.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file.  [default: DIR/config.toml]")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, metavar="DIR")
def command(
    file: Path, file_format: Format | None, strict: bool, as_json: bool, config_file: Path | None, data_dir: Path
) -> None:
    """Bring the clicks of FILE into the event log, each with its own time.

    CSV with a header, NDJSON and Parquet have the columns ts (RFC 3339 with an offset, or epoch milliseconds), ad_id,
    and if wanted user_id, impression_id, user_agent, ip and referrer. Of an address the network is kept, of a referrer
    the host. Advertiser and campaign are those of the registered ad. A weblog (.log) is a web server's log in the
    combined format: GETs and HEADs of /click that were answered with a redirect are clicks, other lines are skipped
    and counted.

    People without user_id are told apart by address and user agent within the file; where a row has neither, it is a
    person of its own.

    A bad row (no such ad, a time in the future, ...) is reported with its line number and the rest goes on; then the
    exit code is 1. Importing a file again adds only what is not there yet: after a kill the rest, after registering
    unknown ads their clicks. A file that has grown is another file: import logs when they are rotated.

    Works with and without a running system. Imported clicks never show in live numbers: the recount of their hours
    counts them.
    """
    # The format first: a hash of a large file takes time, and a wrong name needs none.
    chosen = file_format or format_of(file)
    folder = DataFolder(data_dir)
    folder.check_version()
    config = load(config_file_of(folder, config_file)).config
    done = _import(folder, config, file, chosen, identify(file), strict=strict)
    if as_json:
        click.echo(msgspec.json.encode(done))
    else:
        skipped = "".join(f", {number:,} {why.replace('_', ' ')}" for why, number in sorted(done.skipped.items()))
        click.echo(
            f"{file}: {plural(done.imported, 'click')} imported, {done.already_there:,} already there, "
            f"{plural(done.bad_rows, 'bad row')}{skipped}"
        )
    if done.bad_rows:
        if strict:
            click.echo("stopped there: --strict", err=True)
        sys.exit(1)


def _import(
    folder: DataFolder, config: Config, file: Path, file_format: Format, identity: FileIdentity, *, strict: bool
) -> Imported:
    from adtally import wiring

    imported = held = bad_rows = 0
    skipped: Counter[str] = Counter()
    errors: list[RowError] = []
    with wiring.open_history_import(folder, config, identity) as history, file_progress(file) as show_progress:
        for batch in history.batches(file, file_format, strict=strict):
            imported += batch.imported
            held += batch.held
            skipped.update({why.value: number for why, number in batch.skipped.items()})
            bad_rows += len(batch.errors)
            for error in batch.errors:
                click.echo(f"{file}: line {error.line}: {error.reason}", err=True)
            errors += batch.errors[: ERRORS_KEPT_MAX - len(errors)]
            show_progress(batch.bytes_read, f"{imported + held:,} clicks")
    return Imported(identity.edge_id, imported, held, dict(skipped), bad_rows, errors)
