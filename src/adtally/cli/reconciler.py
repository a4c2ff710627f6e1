"""`adtally reconciler`: the reconciler alone, of a system whose store is on servers."""

from pathlib import Path

import click

from adtally.cli.target import DEFAULT_DATA_DIR


@click.command("reconciler", help="Run the reconciler alone, until SIGTERM. A second one waits for the first.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, metavar="DIR")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file.  [default: DIR/config.toml]")
def command(data_dir: Path, config_file: Path | None) -> None:
    """Run the role."""
    from adtally.process import alone

    folder, config = alone.open_folder(data_dir, config_file, "reconciler")
    alone.run_reconciler(folder, config)
