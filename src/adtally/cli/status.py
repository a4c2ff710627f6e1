"""`adtally status`: every part's health, lag and position."""

import shutil
import sys
from typing import TYPE_CHECKING, Any, Final, Unpack

import click
import msgspec

from adtally.cli.doctor import FREE_BYTES_FAIL
from adtally.cli.tables import plural, print_table
from adtally.cli.target import ApiClient, Target, Where, resolve, target_options
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import AdtallyError
from adtally.folder import is_alive

if TYPE_CHECKING:
    from adtally.folder import RunInfo

LAG_MS_MAX: Final = 10_000
"""Above this the stream is behind: it flushes each second, and reads heartbeats several times a second."""


ARCHIVE_LAG_MS_MAX: Final = 300_000
"""Above this the archiver is behind: it writes about once a minute."""


class Part(msgspec.Struct, frozen=True):
    """One part of the system: whether it is well, and what is to be said about it."""

    part: str
    healthy: bool
    detail: str


class Overview(msgspec.Struct, frozen=True):
    """The whole system. `api` is what /v1/status answered, None if it did not."""

    healthy: bool
    parts: list[Part]
    restarts: dict[str, int]
    api: dict[str, Any] | None


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@target_options
def command(as_json: bool, **where: Unpack[Where]) -> None:
    """Show every part's health, lag and position; exit 1 if something is not well."""
    target = resolve(**where)
    client = target.client()
    with client.http:
        seen = overview(target, client)
    if as_json:
        click.echo(msgspec.json.encode(seen))
    else:
        rows = [(part.part, "ok" if part.healthy else "FAILS", part.detail) for part in seen.parts]
        print_table(("part", "health", ""), rows, {"ok": "green", "FAILS": "bold red"})
    if not seen.healthy:
        sys.exit(1)


def overview(target: Target, client: ApiClient) -> Overview:
    """Ask every part that can be reached."""
    run = target.folder.running() if target.click_url is not None else None
    parts: list[Part] = []
    if run is not None:
        parts += [*processes(run, SYSTEM_CLOCK.now_ms()), disk(shutil.disk_usage(target.folder.root).free)]
    if target.click_url is not None:
        edges = ApiClient(target.click_url, None)
        with edges.http:
            parts.append(_ready("edges", edges))
    parts.append(_ready("api", client))
    api: dict[str, Any] | None = None
    try:
        api = client.get("/v1/status")
        parts += _stores(api)
    except AdtallyError as error:
        parts.append(Part("status", False, str(error)))
    return Overview(all(part.healthy for part in parts), parts, {} if run is None else run.restarts, api)


def processes(run: "RunInfo", now_ms: int) -> list[Part]:
    """Tell of each process whether it lives, and whether it dies again and again."""
    found = [Part("supervisor", is_alive(run.supervisor_pid), f"pid {run.supervisor_pid}, version {run.version}")]
    for name, pid in sorted(run.pids.items()):
        restarts = run.restarts.get(name, 0)
        detail = f"pid {pid}"
        if restarts:
            detail += f", restarted {restarts} time{'s' if restarts > 1 else ''}"
        looping = run.is_crash_looping(name, now_ms)
        if looping:
            detail += ", crash loop: the log of `adtally up` says why"
        found.append(Part(name, is_alive(pid) and not looping, detail))
    return found


def disk(free_bytes: int) -> Part:
    """Tell how much room the data folder has: without any no click can be kept."""
    found = f"{free_bytes / 1024**3:,.1f} GiB free"
    if free_bytes < FREE_BYTES_FAIL:
        return Part("disk", False, f"{found}: make room, or clicks are not kept")
    return Part("disk", True, found)


def _ready(name: str, client: ApiClient) -> Part:
    try:
        client.request("GET", "/-/readyz")
    except AdtallyError as error:
        return Part(name, False, str(error))
    return Part(name, True, f"{str(client.http.base_url).rstrip('/')} is ready")


def _ledger(api: dict[str, Any]) -> Part:
    """Tell how the hours are: damaged ones lost events that were there, which somebody must look into."""
    health, hours = api["ledger"], api["hours"]
    if not health["healthy"] or hours is None:
        return Part("ledger", False, health["reason"] or "does not answer")
    if hours["last_commit"] == 0:
        return Part("ledger", True, "answers; no hour was recounted yet")
    detail = f"final through {hours['final_through']}; {plural(hours['open'], 'open hour')}"
    if hours["missing"]:
        detail += f"; {plural(hours['missing'], 'event')} missing"
    if hours["damaged"]:
        return Part("ledger", False, f"{detail}; {hours['damaged']:,} damaged: `adtally ledger` shows which")
    return Part("ledger", True, detail)


def _archiver(api: dict[str, Any]) -> Part:
    archiver = api["archiver"]
    if archiver is None:
        return Part("archiver", True, "has not reported yet: it writes about once a minute")
    return Part(
        "archiver",
        archiver["lag_ms"] <= ARCHIVE_LAG_MS_MAX,
        f"{archiver['lag_ms'] / 1000:.0f} s behind: the lake reaches to {archiver['passed']}",
    )


def _reconciler(api: dict[str, Any]) -> list[Part]:
    reconciler = api["reconciler"]
    if reconciler is None:
        return []
    if reconciler["failed"] or reconciler["failures"]:
        return [Part("reconciler", False, "; ".join([*filter(None, [reconciler["failed"]]), *reconciler["failures"]]))]
    if reconciler["last_pass"] is None:
        return [Part("reconciler", True, "has made no pass yet")]
    return [Part("reconciler", True, f"last pass at {reconciler['last_pass']}; the next hour {reconciler['waits']}")]


def _stores(api: dict[str, Any]) -> list[Part]:
    parts = [Part(name, api[name]["healthy"], api[name]["reason"] or "answers") for name in ("store", "registry")]
    parts += [_ledger(api), _archiver(api), *_reconciler(api)]
    stream, lag_ms = api["stream"], api["lag_ms"]
    if stream is None or lag_ms is None:
        return [*parts, Part("stream", False, "has not reported since the API started")]
    parts.append(
        Part(
            "stream",
            lag_ms <= LAG_MS_MAX,
            f"{lag_ms / 1000:.1f} s behind; {stream['events']:,} events, {stream['duplicates']:,} duplicates, "
            f"{stream['late']:,} late",
        )
    )
    letters = stream["dead_letters"]
    # They are kept, and nothing waits for them: a matter for a person, not a failure of a part.
    parts.append(Part("dead letters", True, "none" if letters == 0 else f"{letters:,} could not be parsed"))
    return parts + [Part(f"log {name}", True, f"at {at}") for name, at in sorted(stream["positions"].items())]
