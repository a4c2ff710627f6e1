"""wrk, pinned to one core."""

import re
import subprocess
from pathlib import Path

from bench.tools import find

USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)


def run_wrk(
    address: tuple[str, int],
    connections: int,
    seconds: float,
    core: int | None,
    close: bool,
    script: Path | None = None,
) -> float:
    """Give the requests per second that wrk completed, on one core or (None) wherever there is time.

    Without a script it is one request again and again: a script that varies it makes wrk slower than nginx, and nginx
    look slower than it is.
    Nothing in the edge is remembered by user, so the repetition gives it no advantage but a warm ad, a known user agent
    and a known Host line.
    """
    wrk = find("wrk")
    host, port = address
    command = [wrk.path, "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "-H", f"User-Agent: {USER_AGENT}"]
    if close:
        command += ["-H", "Connection: close"]
    if script is not None:
        command += ["-s", str(script)]
    url = f"http://{host}:{port}/click?ad_id=ad_000001&user_id=user_456"
    answer = subprocess.run(
        [*(["taskset", "-c", str(core)] if core is not None else []), *command, url],
        env=wrk.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", answer.stdout)
    if refused:
        raise SystemExit(f"{refused[1]} requests to {host}:{port} were refused:\n{answer.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", answer.stdout)
    if found is None:
        raise SystemExit(f"wrk gave no rate:\n{answer.stdout}\n{answer.stderr}")
    return float(found[1])
