"""`make cluster` and `make cluster-down`: python -m deploy.local up|down."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

import click
import msgspec

from deploy.local.cluster import Cluster, Plan
from deploy.local.server import ServerError

STATE: Final = "cluster.json"
DOWN_S_MAX: Final = 30.0


class Process(msgspec.Struct, frozen=True):
    """One process group that was started; its start tells it from a later process with its id."""

    name: str
    pid: int
    started: str
    log: str


class State(msgspec.Struct, frozen=True):
    """`cluster.json`: where a running cluster is reached, as `adtally demo --cluster` reads it, and its processes."""

    click_url: str
    api_url: str
    admin_key_file: str
    config: str
    processes: list[Process]


@click.group()
def main() -> None:
    """Start or end a whole cluster on this machine."""


@main.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("adtally-cluster"), show_default=True)
@click.option("--stream", type=click.Choice(["flink", "python"]), default="flink", show_default=True)
@click.option("--recount", type=click.Choice(["chdb", "spark"]), default="chdb", show_default=True)
@click.option("--shards", type=click.IntRange(1, 8), default=1, show_default=True, help="ClickHouse servers.")
def up(folder: Path, stream: str, recount: str, shards: int) -> None:
    """Start it, say what runs where, and leave it running. Its data is new each time."""
    folder = folder.resolve()
    if (folder / STATE).exists():
        sys.exit(f"{folder} holds a running cluster: make cluster-down ends it")
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty: name another --folder, or remove it")
    plan = msgspec.convert({"stream": stream, "recount": recount, "shards": shards}, Plan)
    cluster = Cluster(folder, plan)
    begun_s = time.monotonic()
    try:
        for name in cluster.start():
            print(f"  {time.monotonic() - begun_s:5.1f} s  {name}", flush=True)
    except (ServerError, KeyboardInterrupt) as error:
        cluster.stop()
        sys.exit(f"the cluster was not started: {error}")
    state = _state(cluster)
    (folder / STATE).write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    print(f"\nadtally is ready after {time.monotonic() - begun_s:.0f} s")
    for process in state.processes:
        print(f"  {process.name:14} pid {process.pid:<8} {process.log}")
    print(f"  clicks    {state.click_url}/click?ad_id=...   (adtally demo --cluster makes ads and sends some)")
    print(f"  API, page {state.api_url}   key in {state.admin_key_file}")
    print(f"  settings  {state.config}")


@main.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("adtally-cluster"), show_default=True)
@click.option("--keep", is_flag=True, help="Keep data and logs.")
def down(folder: Path, keep: bool) -> None:
    """End exactly what `up` has started in this folder, and remove its data."""
    try:
        state = msgspec.json.decode((folder / STATE).read_bytes(), type=State)
    except FileNotFoundError:
        sys.exit(f"no cluster runs in {folder}")
    # Roles first, so that none complains about servers that went.
    left = [process for process in reversed(state.processes) if _alive(process)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            _signal(process, number)
        deadline_s = time.monotonic() + DOWN_S_MAX
        while left and time.monotonic() < deadline_s:
            time.sleep(0.1)
            left = [process for process in left if _alive(process)]
    (folder / STATE).unlink()
    if not keep:
        shutil.rmtree(folder)
    print(f"ended {len(state.processes)} processes")


def _state(cluster: Cluster) -> State:
    processes = [
        Process(part.name, part.pid, _started(part.pid), str(part.log_file))
        for part in cluster.parts()
        if part.pid is not None
    ]
    return State(cluster.click_url, cluster.api_url, str(cluster.admin_key.resolve()), str(cluster.config), processes)


def _started(pid: int) -> str:
    """Give when a process began, in clock ticks since the machine's start: field 22 of proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _alive(process: Process) -> bool:
    try:
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state[19] == process.started and state[0] != "Z"


def _signal(process: Process, number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
