"""`adtally deadletters`: list, show and replay what of the event log could not be read."""

from datetime import UTC, datetime
from typing import BinaryIO, Unpack

import click
import msgspec

from adtally.cli.letter_access import open_letter_access
from adtally.cli.tables import plural, print_table
from adtally.cli.target import Where, resolve, target_options
from adtally.clock import SYSTEM_CLOCK

LIST_LIMIT = 100

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("deadletters", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, show and replay what of the event log could not be read.

    They go through the API of the system that runs on --data-dir or is named by --url; where none runs, they work on
    the folder alone.
    """


@command.command("list")
@click.option("--after", default="", metavar="PARTITION/POSITION", help="Begin behind this letter.")
@click.option("--limit", type=click.IntRange(min=1), default=LIST_LIMIT, show_default=True)
@_json_option
@target_options
def list_letters(after: str, limit: int, as_json: bool, **where: Unpack[Where]) -> None:
    """List dead letters by partition and position, replayed ones too."""
    with open_letter_access(resolve(**where), SYSTEM_CLOCK) as access:
        page = access.page(limit, after)
    if as_json:
        click.echo(msgspec.json.encode(page))
        return
    rows = (
        (
            letter.partition,
            letter.position,
            _time(letter.found_ms),
            _time(letter.replayed_ms),
            f"{letter.payload_bytes:,}",
            _printable(letter.reason),
        )
        for letter in page.letters
    )
    print_table(("partition", "position", "found", "replayed", "bytes", "reason"), rows)
    if page.next is not None:
        click.echo(f"there are more: --after {page.next}, or --limit", err=True)


@command.command("show")
@click.argument("partition")
@click.argument("position")
@click.option("--raw", is_flag=True, help="Write the payload as it is, to be mended and replayed.")
@_json_option
@target_options
def show(partition: str, position: str, raw: bool, as_json: bool, **where: Unpack[Where]) -> None:
    """Show one dead letter. Bytes of the payload that are no printable ASCII are escaped as in Python."""
    with open_letter_access(resolve(**where), SYSTEM_CLOCK) as access:
        letter = access.letter(partition, position)
    if raw:
        click.echo(letter.payload, nl=False)
        return
    if as_json:
        click.echo(msgspec.json.encode(letter))
        return
    for name, value in (
        ("partition", letter.partition),
        ("position", letter.position),
        ("reason", _printable(letter.reason)),
        ("found", _time(letter.found_ms)),
        ("replayed", _time(letter.replayed_ms)),
        ("payload", letter.payload.decode("latin-1").encode("unicode_escape").decode("ascii")),
    ):
        click.echo(f"{name:<10} {value}".rstrip())


@command.command("replay")
@click.argument("partition")
@click.argument("position")
@click.option("--payload", type=click.File("rb"), help="The mended payload; - for standard input.  [default: as it is]")
@_json_option
@target_options
def replay(partition: str, position: str, payload: BinaryIO | None, as_json: bool, **where: Unpack[Where]) -> None:
    """Append a dead letter to the log again, if it is an event now (or several, one a line).

    The recount of its hour counts it, once, however often it is replayed: it keeps its edge_id and seq, and where the
    payload has none, they follow from the letter's place.
    """
    mended = None if payload is None else payload.read()
    with open_letter_access(resolve(**where), SYSTEM_CLOCK) as access:
        done = access.replay(partition, position, mended)
    if as_json:
        click.echo(msgspec.json.encode(done))
    else:
        click.echo(f"{partition} {position}: {plural(done.events, 'event')} appended to the log")


def _printable(text: str) -> str:
    """Give a text that can do nothing to a terminal: it may quote what was found in the log."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _time(ms: int | None) -> str:
    return "" if ms is None else datetime.fromtimestamp(ms // 1000, UTC).isoformat()
