"""`adtally keys`: create, list and revoke API keys."""

from datetime import UTC, datetime
from typing import Unpack

import click
import msgspec

from adtally.cli.metrics import Duration
from adtally.cli.registry_access import open_access
from adtally.cli.tables import print_table
from adtally.cli.target import Where, resolve, target_options
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import UsageError

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("keys", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Create, list and revoke API keys.

    An advertiser's key sees that advertiser's ads and numbers, an admin's key sees all and may change things.
    """


@command.command("create")
@click.option("--advertiser", metavar="ID", help="Whose numbers the key may read.")
@click.option("--admin", is_flag=True, help="A key that may see and change everything.")
@click.option("--expires", "lasts_ms", type=Duration(), help="Valid so long: 12h, 90d.  [default: until revoked]")
@_json_option
@target_options
def create(advertiser: str | None, admin: bool, lasts_ms: int | None, as_json: bool, **where: Unpack[Where]) -> None:
    """Create a key and print it, this once: only its hash is kept."""
    if admin == (advertiser is not None):
        raise UsageError("give either --advertiser ID or --admin")
    expires_ms = None if lasts_ms is None else SYSTEM_CLOCK.now_ms() + lasts_ms
    # A system can be started on the folder later with this key: so the folder may be new.
    with open_access(resolve(**where), SYSTEM_CLOCK, make_folder=True) as access:
        new = access.create_key(advertiser, expires_ms)
    if as_json:
        click.echo(msgspec.json.encode(new))
        return
    click.echo(new.key)
    whose = "an admin's" if new.advertiser_id is None else f"for advertiser {new.advertiser_id}"
    until = "" if new.expires_ms is None else f", until {_time(new.expires_ms)}"
    click.echo(f"key {new.key_id}, {whose}{until}; keep it now, it cannot be shown again", err=True)


@command.command("list")
@_json_option
@target_options
def list_keys(as_json: bool, **where: Unpack[Where]) -> None:
    """List keys by creation, revoked and expired ones too. A use is noted within a minute."""
    with open_access(resolve(**where), SYSTEM_CLOCK) as access:
        keys = access.keys()
    if as_json:
        click.echo(msgspec.json.encode({"keys": keys}))
        return
    rows = (
        (
            key.key_id,
            key.scope,
            key.advertiser_id or "",
            _time(key.created_ms),
            _time(key.used_ms),
            _time(key.expires_ms),
            _time(key.revoked_ms),
        )
        for key in keys
    )
    print_table(("key_id", "scope", "advertiser_id", "created", "last used", "expires", "revoked"), rows)


@command.command("revoke")
@click.argument("key_id")
@_json_option
@target_options
def revoke(key_id: str, as_json: bool, **where: Unpack[Where]) -> None:
    """Revoke a key: from now on it opens nothing. KEY_ID is what `adtally keys list` shows."""
    with open_access(resolve(**where), SYSTEM_CLOCK) as access:
        key = access.revoke_key(key_id)
    click.echo(msgspec.json.encode(key) if as_json else f"key {key.key_id} was revoked at {_time(key.revoked_ms)}")


def _time(ms: int | None) -> str:
    return "" if ms is None else datetime.fromtimestamp(ms // 1000, UTC).isoformat()
