"""A running adtally for measurements: the whole system behind `adtally up`, or one edge worker alone."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

from adtally import wiring
from adtally.cli.target import ApiClient
from adtally.clock import SYSTEM_CLOCK
from adtally.config import Config, EdgeConfig
from adtally.folder import DataFolder, RunInfo
from adtally.process.child import ChildSpec
from adtally.registry.port import Ad
from adtally.traffic.plan import numbered_ads

START_S_MAX = 60.0
LANDING_URL = "https://example.com/landing"


class System(msgspec.Struct, frozen=True):
    """Where a running system is reached."""

    run: RunInfo
    api: ApiClient

    @property
    def click_address(self) -> tuple[str, int]:
        """Host and port of the edge."""
        url = httpx.URL(self.run.click_url)
        return url.host, url.port or 80


def put_ads(folder: DataFolder, number: int) -> list[str]:
    """Store `number` ads in the folder's registry, and give their ids."""
    ad_ids = numbered_ads(number)
    registry = wiring.open_registry(folder, Config())
    for begin in range(0, number, 5_000):
        registry.upsert_ads(
            [Ad(ad_id, f"adv_{int(ad_id[-2:])}", LANDING_URL) for ad_id in ad_ids[begin : begin + 5_000]]
        )
    return ad_ids


@contextlib.contextmanager
def whole_system(root: Path, ads: int) -> Iterator[tuple[System, list[str]]]:
    """Run `adtally up` on an empty folder with `ads` ads; ends with it."""
    folder = DataFolder(root)
    folder.prepare()
    ad_ids = put_ads(folder, ads)
    with running(folder) as system:
        yield system, ad_ids


@contextlib.contextmanager
def running(folder: DataFolder) -> Iterator[System]:
    """Run `adtally up` on a folder; ends with it."""
    root = folder.root
    command = [str(Path(sys.executable).with_name("adtally")), "up", "--data-dir", str(root), "--edges", "1"]
    environment = {**os.environ, "ADTALLY_EDGE__EVENT_HEADER": "true", "ADTALLY_SERVE__REQUESTS_PER_MINUTE": "1000000"}  # noqa: TID251 - passed on
    with (root / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--click-port", "0", "--api-port", "0"], stdout=log, stderr=log, env=environment
        )
    try:
        run = _await_ready(folder, process)
        key = folder.admin_key.read_text(encoding="ascii").strip()
        yield System(run, ApiClient(run.api_url, key))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def edge_alone(root: Path, ads: int, core: int) -> Iterator[tuple[str, int]]:
    """Run one edge worker and nothing else on one core; gives its host and port."""
    folder = DataFolder(root)
    folder.prepare()
    put_ads(folder, ads)
    (folder.run / "metrics").mkdir(parents=True, exist_ok=True)
    wiring.prepare_logs(folder, 1)
    with socket.create_server(("127.0.0.1", 0), backlog=4_096) as listening:
        listening.set_inheritable(True)
        config = Config(edge=EdgeConfig(workers=1, port=0))
        spec = ChildSpec("edge", 0, str(root), config, (listening.fileno(),))
        with (root / "edge.log").open("wb") as log:
            process = subprocess.Popen(
                ["taskset", "-c", str(core), sys.executable, "-m", "adtally.process.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(listening.fileno(),),
            )
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(spec) + b"\n")
            process.stdin.flush()
            host, port = listening.getsockname()[:2]
            await_status(f"http://{host}:{port}/-/readyz", process)
            yield host, port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def await_status(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until `url` answers with success. Raises SystemExit if the process ends first or takes too long."""
    deadline_s = SYSTEM_CLOCK.monotonic_s() + START_S_MAX
    while process.poll() is None and SYSTEM_CLOCK.monotonic_s() < deadline_s:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False, timeout=5.0).status_code < httpx.codes.BAD_REQUEST:
                return
        time.sleep(0.05)
    raise SystemExit(f"{url} did not get ready (exit code {process.poll()})")


def _await_ready(folder: DataFolder, process: subprocess.Popen[bytes]) -> RunInfo:
    deadline_s = SYSTEM_CLOCK.monotonic_s() + START_S_MAX
    while (run := folder.running()) is None:
        if process.poll() is not None or SYSTEM_CLOCK.monotonic_s() > deadline_s:
            raise SystemExit(f"adtally up did not start:\n{(folder.root / 'up.log').read_text(errors='replace')}")
        time.sleep(0.05)
    await_status(f"{run.click_url}/-/readyz", process)
    await_status(f"{run.api_url}/-/readyz", process)
    return run
