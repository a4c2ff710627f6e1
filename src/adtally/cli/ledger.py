"""`adtally ledger`: what was recounted hour by hour, what was found, and which keys a correction changed."""

from collections.abc import Iterator
from typing import Any, Final, Unpack

import click
import msgspec

from adtally.cli.metrics import Duration
from adtally.cli.tables import plural, print_table
from adtally.cli.target import ApiClient, Where, resolve, target_options
from adtally.clock import SYSTEM_CLOCK

PAGE_LINES: Final = 1_000
PAGE_KEYS: Final = 1_000
KEYS: Final = 100

_STYLES: Final = {"open": "dim", "final": "green", "damaged": "bold red", "frozen": "cyan"}
_COLUMNS: Final = (
    "hour",
    "state",
    "revision",
    "live",
    "final",
    "differed",
    "difference",
    "duplicates",
    "invalid",
    "missing",
    "late",
    "seconds",
    "engine",
)
_NUMBERS: Final = frozenset(_COLUMNS[2:12]) | {"old", "new", "difference"}
_KEY_COLUMNS: Final = (
    "minute",
    "ad_id",
    "advertiser_id",
    "campaign_id",
    "device",
    "outcome",
    "old",
    "new",
    "difference",
)


@click.command("ledger")
@click.option(
    "--since", "since_ms", type=Duration(), default="1d", show_default=True, help="How far back: 12h, 2d, 4w."
)
@click.option("--hour", metavar="HOUR", help="One UTC hour's history and changed keys: 2026-11-23T10.")
@click.option(
    "--keys", type=click.IntRange(1), default=KEYS, show_default=True, help="With --hour: how many changed keys."
)
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer.")
@target_options
def command(since_ms: int, hour: str | None, keys: int, as_json: bool, **where: Unpack[Where]) -> None:
    """Show what was recounted hour by hour, and what was found.

    live: clicks before the recount (of a later revision: those of the revision before). final: clicks as recounted.
    differed: keys (ad, minute, device, outcome) whose number changed, difference: by how many events in all. missing:
    events that an edge numbered and that are not in the lake. late: too late for the live numbers, and counted now.
    """
    client = resolve(**where).client()
    with client.http:
        answer = _listed(client, since_ms) if hour is None else _of_hour(client, hour, keys)
    if as_json:
        click.echo(msgspec.json.encode(answer))
    elif hour is None:
        _print_lines(answer["lines"])
        click.echo(f"final through {answer['final_through'] or 'nothing yet: no hour was recounted'}", err=True)
    else:
        _print_lines(answer["lines"], history=True)
        _print_keys(answer)


def _listed(client: ApiClient, since_ms: int) -> dict[str, Any]:
    """Give all pages of the newest lines as one."""
    now_ms = SYSTEM_CLOCK.now_ms()
    start_s, end_s = (now_ms - since_ms) // 1000, now_ms // 1000 + 1
    lines: list[Any] = []
    after = None
    while True:
        page = client.get("/v1/ledger", start=start_s, end=end_s, after=after, limit=PAGE_LINES)
        lines += page["lines"]
        after = page["next"]
        if after is None:
            return {**page, "lines": lines}


def _of_hour(client: ApiClient, hour: str, keys: int) -> dict[str, Any]:
    """Give an hour's history with the first `keys` of the changed keys, and where the next ones begin."""
    path = f"/v1/ledger/{hour}"
    answer: dict[str, Any] = client.get(path, limit=min(keys, PAGE_KEYS))
    while answer["next"] is not None and len(answer["changed"]) < keys:
        limit = min(keys - len(answer["changed"]), PAGE_KEYS)
        page = client.get(path, commit=answer["commit"], after=answer["next"], limit=limit)
        answer = {**page, "changed": answer["changed"] + page["changed"]}
    return answer


def _print_lines(lines: list[Any], *, history: bool = False) -> None:
    columns = (*_COLUMNS, "kind") if history else _COLUMNS
    print_table(columns, (tuple(_cells(line, history=history)) for line in lines), _STYLES, _NUMBERS)
    for line in lines:
        if line["note"]:
            click.echo(f"{_hour(line)} revision {line['revision']}: {line['note']}")


def _cells(line: dict[str, Any], *, history: bool) -> Iterator[str]:
    yield _hour(line)
    yield line["state"]
    yield str(line["revision"])
    for name in ("live", "final", "keys_differed", "difference", "duplicates"):
        yield f"{line[name]:,}"
    yield f"{sum(line['invalid'].values()):,}"
    yield f"{line['missing']:,}"
    yield f"{line['late']:,}"
    yield f"{line['duration_ms'] / 1000:.1f}"
    yield line["engine"]
    if history:
        yield line["kind"]


def _print_keys(answer: dict[str, Any]) -> None:
    line = next(line for line in answer["lines"] if line["commit"] == answer["commit"])
    changed = answer["changed"]
    click.echo()
    if not changed:
        click.echo("no keys changed")
        return
    click.echo(f"{plural(line['keys_differed'], 'key')} changed by revision {line['revision']}:")
    rows = (
        (
            key["minute"],
            key["ad_id"],
            key["advertiser_id"],
            key["campaign_id"],
            key["device"],
            key["outcome"],
            f"{key['old']:,}",
            f"{key['new']:,}",
            f"{key['new'] - key['old']:+,}",
        )
        for key in changed
    )
    print_table(_KEY_COLUMNS, rows, numbers=_NUMBERS)
    if len(changed) < line["keys_differed"]:
        click.echo(f"and {line['keys_differed'] - len(changed):,} more: --keys shows more of them")


def _hour(line: dict[str, Any]) -> str:
    return str(line["hour"])[:13]
