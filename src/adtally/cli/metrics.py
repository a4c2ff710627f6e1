"""`adtally metrics`: an ad's numbers as a table."""

import re
from typing import Any, Final, Unpack, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec

from adtally.buckets import Granularity, buckets
from adtally.cli.tables import print_table
from adtally.cli.target import Where, resolve, target_options
from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS
from adtally.utc import DAY_MS, HOUR_MS

_UNITS_MS: Final = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_DURATION: Final = re.compile(r"([0-9]{1,6})([mhdw])")


class Duration(click.ParamType[int]):
    """A length of time on the command line, such as 15m, 1h, 7d or 2w, as milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Give milliseconds; refuse what is no duration."""
        match = _DURATION.fullmatch(str(value))
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is no duration: give for instance 15m, 1h, 7d or 2w", param, ctx)
        return int(match[1]) * _UNITS_MS[match[2]]


@click.command("metrics")
@click.argument("ad_id", metavar="AD")
@click.option(
    "--since", "since_ms", type=Duration(), default="1h", show_default=True, help="How far back: 15m, 1h, 7d."
)
@click.option("--granularity", type=click.Choice(get_args(Granularity)), help="Default: what fits --since.")
@click.option("--timezone", default="UTC", show_default=True, help="IANA name; decides where days begin.")
@click.option("--json", "as_json", is_flag=True, help="Print the API's answer.")
@target_options
def command(
    ad_id: str,
    since_ms: int,
    granularity: Granularity | None,
    timezone: str,
    as_json: bool,
    **where: Unpack[Where],
) -> None:
    """Show an ad's clicks and unique users, bucket by bucket, up to now."""
    now_ms = SYSTEM_CLOCK.now_ms()
    granularity = granularity or fitting(since_ms)
    client = resolve(**where).client()
    with client.http:
        answer = client.get(
            "/metrics",
            ad_id=ad_id,
            start=first_start_ms(now_ms - since_ms, granularity, timezone) // 1000,
            end=now_ms // 1000 + 1,
            granularity=granularity,
            timezone=timezone,
        )
    if as_json:
        click.echo(msgspec.json.encode(answer))
        return
    rows = [
        (row["timestamp"], f"{row['clicks']:,}", f"{row['unique_users']:,}", row["status"]) for row in answer["metrics"]
    ]
    totals = answer["totals"]
    rows.append(("total", f"{totals['clicks']:,}", f"{totals['unique_users']:,}", ""))
    print_table(("time", "clicks", "unique users", "status"), rows, {"provisional": "dim", "final": "green"})
    click.echo(f"complete up to {answer['as_of'] or 'nothing yet: the stream has not reported'}", err=True)
    click.echo(f"final through {answer['final_through'] or 'nothing yet: no hour was recounted'}", err=True)


def first_start_ms(start_ms: int, granularity: Granularity, timezone: str) -> int:
    """Give where the bucket begins that holds `start_ms`: of old times, retention leaves no parts of buckets.

    What the API will say about the time zone is left to it.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return start_ms
    return buckets(start_ms, start_ms + 1, granularity, zone, start_ms).starts_ms[0]


def fitting(since_ms: int) -> Granularity:
    """Give the granularity that makes at most about 90 rows of `since_ms`."""
    if since_ms <= 90 * MINUTE_MS:
        return "minute"
    if since_ms <= 3 * DAY_MS:
        return "hour"
    return "day" if since_ms <= 90 * DAY_MS else "month"
