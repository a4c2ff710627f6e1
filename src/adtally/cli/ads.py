"""`adtally ads`: import, list, show, change and export ads."""

import sys
from itertools import islice
from pathlib import Path
from typing import Unpack

import click
import msgspec

from adtally.cli.progress import file_progress
from adtally.cli.registry_access import AdChange, RegistryAccess, open_access
from adtally.cli.tables import plural, print_table
from adtally.cli.target import Where, resolve, target_options
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import UsageError
from adtally.registry.ad_files import FORMATS, Format, format_of, write_csv, write_ndjson
from adtally.registry.importing import Batch, Stored, invalid_ads, read_batches
from adtally.registry.port import Ad, AdStatus
from adtally.registry.rules import STATUSES
from adtally.rowfiles import RowError

LIST_LIMIT = 100

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("ads", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Import, list, show, change and export ads.

    They go through the API of the system that runs on --data-dir or is named by --url; where none runs, they work on
    the folder alone.
    """


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--strict", is_flag=True, help="Stop at the first bad row; nothing of its batch is stored.")
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Default: by the file's name.")
@_json_option
@target_options
def import_file(
    file: Path,
    strict: bool,
    file_format: Format | None,
    as_json: bool,
    **where: Unpack[Where],
) -> None:
    """Import ads from FILE: CSV with a header, NDJSON or Parquet.

    Columns: ad_id, advertiser_id, landing_url, and if wanted campaign_id, name and status (active, paused, archived).
    A row states a whole ad: what it leaves out gets its default. Unknown advertisers and campaigns are created. A bad
    row is reported with its line number and the rest goes on; then the exit code is 1.
    """
    with open_access(resolve(**where), SYSTEM_CLOCK, make_folder=True) as access:
        total = _import(access, file, file_format or format_of(file), strict=strict)
    if as_json:
        click.echo(msgspec.json.encode(total))
    else:
        click.echo(
            f"{file}: {plural(total.created, 'ad')} created, {total.changed:,} changed, {total.unchanged:,} unchanged, "
            f"{plural(len(total.errors), 'bad row')}"
        )
    if total.errors:
        if strict:
            click.echo("stopped there: --strict", err=True)
        sys.exit(1)


@command.command("list")
@click.option("--advertiser", help="Only this advertiser's ads.")
@click.option("--after", default="", help="Begin behind this ad_id.")
@click.option("--limit", type=click.IntRange(min=1), default=LIST_LIMIT, show_default=True)
@_json_option
@target_options
def list_ads(advertiser: str | None, after: str, limit: int, as_json: bool, **where: Unpack[Where]) -> None:
    """List ads by ad_id."""
    with open_access(resolve(**where), SYSTEM_CLOCK) as access:
        found = list(islice(access.ads(advertiser, after), limit + 1))
    ads, is_more = found[:limit], len(found) > limit
    if as_json:
        click.echo(msgspec.json.encode({"ads": ads, "next": ads[-1].ad_id if is_more else None}))
        return
    print_table(Ad.__struct_fields__, (msgspec.structs.astuple(ad) for ad in ads))
    if is_more:
        click.echo(f"there are more: --after {ads[-1].ad_id}, or --limit", err=True)


@command.command("show")
@click.argument("ad_id")
@_json_option
@target_options
def show(ad_id: str, as_json: bool, **where: Unpack[Where]) -> None:
    """Show one ad."""
    with open_access(resolve(**where), SYSTEM_CLOCK) as access:
        _print_ad(access.ad(ad_id), as_json=as_json)


@command.command("set")
@click.argument("ad_id")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--landing-url", help="Where people are sent.")
@click.option("--campaign", "campaign_id", help="The campaign's id; '' for none.")
@click.option("--name")
@_json_option
@target_options
def set_ad(
    ad_id: str,
    status: AdStatus | None,
    landing_url: str | None,
    campaign_id: str | None,
    name: str | None,
    as_json: bool,
    **where: Unpack[Where],
) -> None:
    """Change an ad; what is not given stays. An ad keeps its advertiser."""
    change = AdChange(name, status, landing_url, campaign_id)
    if change == AdChange():
        raise UsageError("nothing to change: give --status, --landing-url, --campaign or --name")
    with open_access(resolve(**where), SYSTEM_CLOCK) as access:
        _print_ad(access.change_ad(ad_id, change), as_json=as_json)


@command.command("export")
@click.option("--advertiser", help="Only this advertiser's ads.")
@click.option("--json", "as_json", is_flag=True, help="Write NDJSON instead of CSV.")
@target_options
def export(advertiser: str | None, as_json: bool, **where: Unpack[Where]) -> None:
    """Write ads to standard output, as `ads import` reads them."""
    with open_access(resolve(**where), SYSTEM_CLOCK) as access:
        (write_ndjson if as_json else write_csv)(access.ads(advertiser), sys.stdout)


def _import(access: RegistryAccess, file: Path, file_format: Format, *, strict: bool) -> Stored:
    created = changed = unchanged = 0
    errors: list[RowError] = []
    with file_progress(file) as show_progress:
        for batch in read_batches(file, file_format):
            found = _unfit(batch) if strict else batch.errors
            if not (strict and found):
                stored = access.import_ads(batch.lines, batch.ads)
                created += stored.created
                changed += stored.changed
                unchanged += stored.unchanged
                found = sorted([*found, *stored.errors], key=lambda error: error.line)
            for error in found:
                click.echo(f"{file}: line {error.line}: {error.reason}", err=True)
            errors += found
            if strict and errors:
                break
            show_progress(batch.bytes_read, f"{created + changed + unchanged:,} ads")
    return Stored(created, changed, unchanged, errors)


def _unfit(batch: Batch) -> list[RowError]:
    """Give the first row of a batch that is no ad or breaks a rule, if there is one."""
    errors = [*batch.errors, *(RowError(batch.lines[index], why) for index, why in invalid_ads(batch.ads).items())]
    return sorted(errors, key=lambda error: error.line)[:1]


def _print_ad(ad: Ad, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(ad))
        return
    for name, value in msgspec.structs.asdict(ad).items():
        click.echo(f"{name:<14} {value}".rstrip())
