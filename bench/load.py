"""How fast our own load can go, so that no other row measures it by mistake: against nginx, truth file included."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from adtally.traffic.load import LoadReport
from bench.edge import WRK_CORE, nginx
from bench.results import Row, middle, rates

RATE = 200_000
"""More than it can: the achieved rate is the ceiling."""


def measure(quick: bool) -> list[Row]:
    """Give one row."""
    seconds, turns = (1.0, 2) if quick else (3.0, 5)
    with TemporaryDirectory(prefix="adtally-bench-") as name, nginx(Path(name) / "nginx") as (host, port):
        found = [_ceiling(Path(name), f"http://{host}:{port}", seconds) for _ in range(turns)]
    what = "`adtally load` with a truth file, one core, against nginx `return 302` on the other"
    return [Row("load", what, f"{middle(found):,.0f}/s", rates(found))]


def _ceiling(folder: Path, address: str, seconds: float) -> float:
    command = ["taskset", "-c", str(WRK_CORE), str(Path(sys.executable).with_name("adtally")), "load", "--json"]
    command += ["--rate", str(RATE), "--seconds", str(seconds), "--truth", str(folder / "truth.ndjson")]
    command += ["--ad-prefix", "ad_", "--url-click", address]
    answer = subprocess.run(command, capture_output=True, check=True)
    return msgspec.json.decode(answer.stdout, type=LoadReport).achieved_rate
