"""A real `adtally up` in processes of its own, to be killed at will."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from deploy.local.server import free_port

READY_S = 200.0
"""Longer than the supervisor itself waits, which says why."""
STOP_S = 90.0
"""Longer than the supervisor itself gives its children to end, one kind after the other."""
KILLED_S = 60.0
"""A process that is killed in a sync ends when that returns."""
ANSWER_S = 60.0
ADTALLY = [sys.executable, "-m", "adtally"]
PATIENT = {"ADTALLY_EDGE__APPEND_TIMEOUT_MS": "30000"}
"""For tests that need each click recorded: one that waits longer for the log than a second leaves unrecorded, and a
sync of a shared machine's disk may take that long."""


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `condition` holds; fail with `what` if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


class Embedded:
    """One data folder with its system on fixed ports, so that a restarted one is found at the same place."""

    def __init__(self, folder: Path, edges: int = 1, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = dict(environment or {})
        self.edges = edges
        self.click_port, self.api_port = free_port(), free_port()
        self.click_url = f"http://127.0.0.1:{self.click_port}"
        self.api_url = f"http://127.0.0.1:{self.api_port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder.with_name(folder.name + ".log")

    def start(self) -> None:
        command = [*ADTALLY, "up", "--data-dir", str(self.folder), "--edges", str(self.edges)]
        command += ["--click-port", str(self.click_port), "--api-port", str(self.api_port)]
        environment = {**os.environ, "ADTALLY_EDGE__EVENT_HEADER": "true", **self.environment}
        with self.log.open("ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait_for(lambda: self._said_ready(before), READY_S, f"adtally is ready; see {self.log}")
        except AssertionError:
            self.kill_supervisor()
            raise

    def stop(self) -> int:
        """End it as an operator would, and give its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    def wait_killed(self) -> None:
        """Take note of a supervisor that somebody killed."""
        assert self.process is not None
        self.process.wait(KILLED_S)

    def kill_supervisor(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(KILLED_S)

    def kill_all(self) -> None:
        """Kill every process of the system at once, as a machine that falls over does."""
        pids = list(self.run_info()["pids"].values())
        self.kill_supervisor()
        for pid in pids:
            kill(pid)

    def run_info(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return found

    def api(self, path: str, key: str | None = None, **params: str) -> Any:
        key = key or (self.folder / "admin.key").read_text().strip()
        answer = httpx.get(
            self.api_url + path,
            params=params,
            headers={"Authorization": f"Bearer {key}"},
            timeout=ANSWER_S,
            trust_env=False,
        )
        answer.raise_for_status()
        return answer.json()

    def command(self, *arguments: str, expect: int | None = 0) -> str:
        """Run a command of the command line on this folder, and give what it printed; None expects any exit code."""
        done = subprocess.run(
            [*ADTALLY, *arguments, "--data-dir", str(self.folder)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert expect is None or done.returncode == expect, (
            f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout

    def _said_ready(self, offset: int) -> bool:
        assert self.process is not None
        said = self.log.read_bytes()
        assert self.process.poll() is None, f"adtally up ended: {said.decode(errors='replace')[-2000:]}"
        return b"adtally is ready" in said[offset:]


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
