"""A child of the supervisor: reads what it is to be from its standard input, and ends when that closes."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from adtally import wiring
from adtally.config import Config
from adtally.errors import AdtallyError
from adtally.folder import DataFolder
from adtally.serve.link import LinkSpec
from adtally.telemetry import configure_logging, log

EXIT_S_MAX: Final = 1.5
"""How long a child may take to end once its supervisor is gone."""


class ChildSpec(msgspec.Struct, frozen=True):
    """What a child is to be: sent as one line of JSON."""

    role: str
    """`edge`, `counter` or `store`."""
    index: int
    data_dir: str
    config: Config
    descriptors: tuple[int, ...] = ()
    """Listening sockets, inherited: they outlive the child, so that no connection is refused while it is restarted."""
    click_url: str = ""
    live_url: str = ""
    token: str = ""
    link: LinkSpec | None = None
    """What signs in once; only the first start of a store gets it, so that a restart cannot make it work twice."""


def main() -> None:
    """Run the role that standard input names until SIGTERM, or until standard input closes."""
    spec = msgspec.json.decode(_read_line(), type=ChildSpec)
    name = f"{spec.role}-{spec.index}" if spec.role == "edge" else spec.role
    configure_logging(name)
    # Ctrl-C reaches the whole terminal's group; the supervisor decides who ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_supervisor, name="supervisor", daemon=True).start()
    try:
        _run(spec)
    except AdtallyError as error:
        log.error("cannot go on", error=str(error))
        _tell({"error": str(error)})
        sys.exit(1)


def _run(spec: ChildSpec) -> None:
    folder = DataFolder(Path(spec.data_dir))
    sockets = [socket.socket(fileno=descriptor) for descriptor in spec.descriptors]
    if spec.role == "edge":
        run_until_sigterm(
            lambda stop: wiring.run_edge_role(folder, spec.config, spec.index, sockets[0], stop, _ready, _beat)
        )
    elif spec.role == "store":
        run_until_sigterm(
            lambda stop: wiring.run_store_role(
                folder, spec.config, sockets[0], sockets[1], spec.token, spec.click_url, stop, _ready, _beat, spec.link
            )
        )
    else:
        stopped = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        wiring.run_counter_role(folder, spec.config, spec.live_url, spec.token, stopped, _ready, _beat)


def run_until_sigterm(role: Callable[[asyncio.Event], Coroutine[None, None, None]]) -> None:
    """Run a role on a loop of its own until SIGTERM sets its event."""

    async def until_stopped() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await role(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_stopped())


def _ready() -> None:
    _tell({"ready": True})


def _beat() -> None:
    _tell({"beat": True})


def _tell(message: dict[str, object]) -> None:
    try:
        os.write(sys.stdout.fileno(), msgspec.json.encode(message) + b"\n")
    except OSError:
        # The supervisor is gone: the other thread sees that too, and ends this process.
        return


def _read_line() -> bytes:
    # Not through sys.stdin: a thread that waits in its buffer at the end of the process would abort it.
    line = b""
    while not line.endswith(b"\n"):
        got = os.read(0, 1 << 16)
        if not got:
            sys.exit("this process is started by `adtally up`, not by hand")
        line += got
    return line


def _end_with_supervisor() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(EXIT_S_MAX)
    os._exit(1)


if __name__ == "__main__":
    main()
