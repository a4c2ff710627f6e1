"""`adtally reconcile`: recount what is complete, now."""

import sys
import time
from typing import Any, Final, Unpack

import click
import msgspec

from adtally.cli.progress import hours_bar
from adtally.cli.tables import plural, print_table
from adtally.cli.target import ApiClient, Where, resolve, target_options

POLL_S: Final = 0.2
ENDED: Final = ("done", "failed")


@click.command("reconcile")
@click.option("--hour", metavar="HOUR", help="One hour, due or not, such as 2026-11-23T10 (UTC).")
@click.option("--dry-run", is_flag=True, help="Recount and compare, publish nothing.")
@click.option(
    "--accept-missing",
    is_flag=True,
    help="Publish --hour although events are missing from the lake: they are given up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer.")
@target_options
def command(hour: str | None, dry_run: bool, accept_missing: bool, as_json: bool, **where: Unpack[Where]) -> None:
    """Let the archiver pass what the log holds now, then recount every complete hour that is due.

    Exit 1 if an hour is damaged, or something could not be recounted.
    """
    client = resolve(**where).client()
    with client.http:
        wanted = {"hour": hour, "dry_run": dry_run, "accept_missing": accept_missing}
        state = follow(client, client.post("/v1/reconcile", wanted))
    if as_json:
        click.echo(msgspec.json.encode(state))
    else:
        show(state, hour, dry_run)
    damaged = any(each["state"] == "damaged" for each in state["hours"])
    not_complete = hour is not None and state["hours_total"] == 0
    if state["error"] or state["failures"] or damaged or not_complete:
        sys.exit(1)


def follow(client: ApiClient, state: dict[str, Any]) -> dict[str, Any]:
    """Wait until a request has ended, with a progress bar on a terminal; give its last state."""
    with hours_bar() as show_hours:
        while state["state"] not in ENDED:
            time.sleep(POLL_S)
            state = client.get(f"/v1/reconcile/{state['number']}")
            show_hours(state["hours_done"], state["hours_total"])
    return state


def show(state: dict[str, Any], hour: str | None, dry_run: bool) -> None:
    """Print what a pass found."""
    if state["error"]:
        click.echo(f"adtally: {state['error']}", err=True)
        return
    if state["hours"]:
        print_table(
            ("hour", "state", "revision", "before", "counted", "cells differed", "difference", "missing", ""),
            [
                (
                    each["hour"],
                    each["state"],
                    str(each["revision"]),
                    f"{each['counted_before']:,}",
                    f"{each['counted']:,}",
                    f"{each['keys_differed']:,}",
                    f"{each['difference']:,}",
                    f"{each['missing']:,}",
                    each["note"],
                )
                for each in state["hours"]
            ],
            {"final": "green", "damaged": "bold red", "frozen": "dim"},
        )
    for failure in state["failures"]:
        click.echo(f"not recounted: {failure}", err=True)
    changed = len(state["hours"])
    if hour is not None and state["hours_total"] == 0:
        click.echo(f"{hour} is not complete yet: hours are complete up to {state['complete_through'] or 'none'}")
    else:
        did = "would be written" if dry_run else "written"
        click.echo(f"{plural(state['hours_total'], 'hour')} looked at, {plural(changed, 'line')} {did}")
    click.echo(f"complete up to {state['complete_through'] or 'nothing yet'}; the next hour {state['waits']}", err=True)
