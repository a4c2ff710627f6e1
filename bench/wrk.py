"""wrk with a script that varies ad and user, pinned to one core."""

import re
import subprocess
from pathlib import Path

from bench.tools import find

SCRIPT = """
local ads, number, count, requests = %d, 20000, 0, {}
local close = %s and "Connection: close\\r\\n" or ""
local tail = " HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) " ..
  "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\\r\\n" .. close .. "\\r\\n"
function init(args)
  math.randomseed(os.time())
  local seed = math.random(1, 1000000000)
  for n = 1, number do
    local ad = math.floor(ads ^ math.random())
    requests[n] = string.format("GET /click?ad_id=ad_%%06d&user_id=w%%d-%%d%%s", ad, seed, n, tail)
  end
end
function request()
  count = count %% number + 1
  return requests[count]
end
"""
"""Ads are drawn as ads ** uniform(0, 1): Zipf with exponent 1. All requests are made before the run, for wrk would
otherwise be slower than what it measures."""


def run_wrk(
    folder: Path, address: tuple[str, int], connections: int, seconds: float, ads: int, core: int, close: bool
) -> float:
    """Give the requests per second that wrk completed."""
    script = folder / f"clicks-{ads}-{close}.lua"
    script.write_text(SCRIPT % (ads, "true" if close else "false"), encoding="ascii")
    wrk = find("wrk")
    host, port = address
    command = [wrk.path, "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "-s", str(script)]
    answer = subprocess.run(
        ["taskset", "-c", str(core), *command, f"http://{host}:{port}"],
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
