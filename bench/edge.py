"""One edge worker against one nginx worker on the same core, in turn."""

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.results import Row, middle, rates
from bench.system import LANDING_URL, await_status, edge_alone
from bench.tools import find
from bench.wrk import run_wrk

SERVER_CORE, WRK_CORE = 0, 1
ADS = 10_000

NGINX = """
worker_processes 1; daemon off; pid {root}/pid; error_log {root}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 302 {landing}; }} }}
}}
"""

MODES = (
    ("keep-alive, 64 connections", 64, False, "0.3", "0.5"),
    ("keep-alive, 256 connections", 256, False, "0.4", "0.7"),
    ("a new connection each time", 64, True, "0.5", "0.8"),
)


def measure(quick: bool) -> list[Row]:
    """Give one row for each way of connecting."""
    seconds, turns = (2.0, 2) if quick else (8.0, 5)
    with TemporaryDirectory(prefix="adtally-bench-") as name:
        root = Path(name)
        with nginx(root / "nginx") as yardstick, edge_alone(root / "data", ADS, SERVER_CORE) as edge:
            return [_compare(mode, yardstick, edge, seconds, turns) for mode in MODES]


def _compare(
    mode: tuple[str, int, bool, str, str],
    yardstick: tuple[str, int],
    edge: tuple[str, int],
    seconds: float,
    turns: int,
) -> Row:
    what, connections, close, must, aim = mode
    found: dict[tuple[str, int], list[float]] = {yardstick: [], edge: []}
    for address in found:
        run_wrk(address, connections, 1, WRK_CORE, close)
    for _ in range(turns):
        for address, seen in found.items():
            seen.append(run_wrk(address, connections, seconds, WRK_CORE, close))
    ratio = middle(found[edge]) / middle(found[yardstick])
    return Row(
        "edge",
        f"edge, one worker on one core ÷ nginx `return 302`: {what}",
        f"{ratio:.2f} ({middle(found[edge]):,.0f}/s ÷ {middle(found[yardstick]):,.0f}/s)",
        f"edge {rates(found[edge])}; nginx {rates(found[yardstick])}",
        must,
        aim,
    )


@contextlib.contextmanager
def nginx(root: Path) -> Iterator[tuple[str, int]]:
    """Run nginx with one worker on the server's core; gives its host and port."""
    root.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = root / "nginx.conf"
    configuration.write_text(NGINX.format(root=root, port=port, landing=LANDING_URL), encoding="ascii")
    tool = find("nginx")
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), tool.path, "-p", str(root), "-c", str(configuration)],
        env=tool.environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_status(f"http://127.0.0.1:{port}/", process)
        yield "127.0.0.1", port
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()
