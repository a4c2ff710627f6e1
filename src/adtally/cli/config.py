"""`adtally config`: every value with its origin, and whether a file is right."""

import sys
from pathlib import Path

import click
import msgspec

from adtally.cli.tables import plural, print_table
from adtally.cli.target import DEFAULT_DATA_DIR, config_file_of
from adtally.config import LoadedConfig, is_secret, load, overlay, read_toml
from adtally.errors import ConfigError
from adtally.folder import DataFolder


class Setting(msgspec.Struct, frozen=True):
    """One value and where it came from."""

    setting: str
    value: object
    origin: str


@click.group("config", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Show or check the configuration.

    Later sources win: defaults, the file, ADTALLY_SECTION__KEY in the environment, flags.
    """


@command.command("show")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file.  [default: DIR/config.toml]")
@click.option("--data-dir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIR, show_default=True, metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(config_file: Path | None, data_dir: Path, as_json: bool) -> None:
    """Show each setting, its value, and where that came from."""
    settings = settings_of(load(config_file_of(DataFolder(data_dir), config_file)))
    if as_json:
        click.echo(msgspec.json.encode({"settings": settings}))
        return
    rows = ((setting.setting, msgspec.json.encode(setting.value).decode(), setting.origin) for setting in settings)
    print_table(("setting", "value", "origin"), rows, {"default": "dim"})


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def check(file: Path) -> None:
    """Check FILE alone, without the environment. Exit code 0 if it is right, 1 if it is not."""
    try:
        loaded = overlay(read_toml(file), str(file), {}, {})
    except ConfigError as error:
        click.echo(f"adtally: {error}", err=True)
        sys.exit(1)
    given = sum(1 for origin in loaded.origins.values() if origin != "default")
    click.echo(
        f"{file} is right: {plural(given, 'setting')}, the other {len(loaded.origins) - given} have their defaults"
    )


def settings_of(loaded: LoadedConfig) -> list[Setting]:
    """Give every setting in the order of the configuration's structs."""
    found: list[Setting] = []
    for dotted, origin in loaded.origins.items():
        section, key = dotted.split(".")
        value = getattr(getattr(loaded.config, section), key)
        found.append(Setting(dotted, "***" if value and is_secret(dotted) else value, origin))
    return found
