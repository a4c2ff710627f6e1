"""`adtally rebuild`: the OLAP store anew from the lake."""

from pathlib import Path

import click

from adtally.cli.progress import hours_bar
from adtally.cli.tables import plural
from adtally.cli.target import DEFAULT_DATA_DIR, config_file_of
from adtally.config import load
from adtally.errors import DataFolderError


@click.command("rebuild", help="Throw the OLAP store away and make it anew from the lake and the log.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, metavar="DIR")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file.  [default: DIR/config.toml]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--give-up-frozen", is_flag=True, help="Go on although numbers are lost whose raw events are gone.")
def command(data_dir: Path, config_file: Path | None, yes: bool, give_up_frozen: bool) -> None:
    """Rebuild a store on whose folder nothing runs; a run that was ended before its end is taken up by the next.

    Final numbers are counted again from the raw events, by the rules that the ledger names, and must be what it says.
    Live numbers of hours that are not final come back when `adtally up` replays the log.

    Where the store is on servers, only the live numbers are made anew: end `adtally stream` and `adtally loader`
    everywhere before, and start them again after it. Final numbers that a server lost are published again by the
    reconciler's next pass.
    """
    from adtally import wiring
    from adtally.process.supervisor import open_folder
    from adtally.telemetry import configure_logging

    folder, _lock = open_folder(data_dir)
    config = load(config_file_of(folder, config_file)).config
    configure_logging("rebuild")
    if not wiring.owns_store(config):
        if not yes:
            click.confirm("Live numbers are counted anew. Do neither stream nor loader run anywhere?", abort=True)
        wiring.count_live_anew(folder, config)
        click.echo("live numbers follow when `adtally stream` has replayed the log; final numbers stay as they are")
        return
    frozen = wiring.frozen_hours(folder, config)
    if frozen and not give_up_frozen:
        raise DataFolderError(
            f"the raw events of {plural(frozen, 'hour')} were removed by lake.retention_days, so their numbers cannot "
            "be made anew: keep them with `adtally backup --with-store`, or lose them with --give-up-frozen"
        )
    if not yes:
        click.confirm(f"Everything in {folder.olap} is made anew. Go on?", abort=True)
    with hours_bar() as progress:
        report = wiring.rebuild(folder, config, progress)
    for failure in report.failures:
        click.echo(f"not rebuilt: {failure}", err=True)
    wrong = [line for line in report.lines if line.state == "damaged"]
    for line in wrong:
        click.echo(f"damaged: {line.note}", err=True)
    click.echo(
        f"{plural(len(report.republished), 'hour')} and {plural(len(report.spans), 'day or month')} made anew; "
        "live numbers follow when `adtally up` has replayed the log"
    )
    if report.failures or wrong:
        raise SystemExit(1)
