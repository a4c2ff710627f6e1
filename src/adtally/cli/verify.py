"""`adtally verify`: holds what was counted against what was sent."""

import itertools
import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from adtally.cli.target import resolve, target_options
from adtally.clock import SYSTEM_CLOCK
from adtally.errors import AdtallyError
from adtally.serve.values import rfc3339
from adtally.traffic.fetch import verify
from adtally.traffic.truth import TruthFile
from adtally.traffic.verify import Difference, Verification, expect

DIFFERENCES_SHOWN: Final = 20


@click.command(help="Compare counts with truth files of `load`: acknowledged ⊆ counted ⊆ sent, by ad and minute.")
@click.option(
    "--truth",
    "truths",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    metavar="FILE",
    help="Several, if several loads ran in the same minutes.",
)
@click.option("--wait", type=click.FloatRange(min=0), default=30, show_default=True, help="Seconds to catch up.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, with all differences.")
@target_options
def command(
    truths: tuple[Path, ...], wait: float, as_json: bool, data_dir: Path, url: str | None, key: str | None
) -> None:
    """Print the table; exit 1 if anything differs, or if the numbers did not catch up."""
    client = resolve(data_dir, url, key).client()
    files = [TruthFile(path) for path in truths]
    expectation = expect(itertools.chain.from_iterable(files))
    if expectation.sent == 0:
        raise AdtallyError(f"{', '.join(map(str, truths))}: no attempts, so nothing to verify")
    for file in files:
        if not file.complete:
            print(
                f"{file.path} has no closing line: the load was killed, or still runs. Attempts that were in flight "
                "are not in the file and may show as differences.",
                file=sys.stderr,
            )
    with client.http:
        result, current = verify(client, expectation, wait, SYSTEM_CLOCK)
    if as_json:
        print(msgspec.json.encode({**msgspec.structs.asdict(result), "current": current}).decode())
    else:
        print(table(result))
    if not current:
        print(
            f"the numbers did not pass {rfc3339(expectation.last_ms)}, the time of the last event, within {wait:g} s: "
            "see `adtally status`, or give more --wait",
            file=sys.stderr,
        )
    if not (result.agrees and current):
        sys.exit(1)


def table(result: Verification) -> str:
    """Give the comparison for a person: the sums, then the first differences."""
    rows: list[tuple[str, int | None]] = [
        ("sent", result.sent),
        ("acknowledged", result.acknowledged),
        ("unknown", result.unknown),
        ("counted", result.counted),
        ("duplicates", result.duplicate),
        ("invalid", result.invalid),
        ("lost", result.lost),
        ("doubled", result.doubled),
    ]
    lines = [f"{name:<13}{number:>12,}" for name, number in rows if number is not None]
    lines += [_sentence(difference) for difference in result.differences[:DIFFERENCES_SHOWN]]
    if len(result.differences) > DIFFERENCES_SHOWN:
        lines.append(f"... and {len(result.differences) - DIFFERENCES_SHOWN:,} more differences (--json shows all)")
    lines.append("agrees" if result.agrees else "DIFFERS")
    return "\n".join(lines)


def _sentence(difference: Difference) -> str:
    where = "" if difference.ad_id is None else f" of {difference.ad_id}"
    when = "" if difference.minute_ms is None else f" at {rfc3339(difference.minute_ms)}"
    bounds = (
        f"{difference.least:,}"
        if difference.least == difference.most
        else f"{difference.least:,} to {difference.most:,}"
    )
    return f"{difference.measure}{where}{when}: {difference.found:,}, must be {bounds}"
