"""What the counter tells the store goes through a network that delays, cuts, swallows and repeats."""

import random
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from faults.lab import SOON_S_MAX, Lab
from support.embedded import kill, wait_for
from support.tcp_proxy import MODES, Mode, TcpProxy

pytestmark = pytest.mark.system

MODE_S = 2.0


def intake_port(lab: Lab) -> int:
    """Give the port at which the store takes live rows: it listens there and at the API's."""
    pid = lab.system.run_info()["pids"]["store"]
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        # The store opens and closes files meanwhile.
        with suppress(FileNotFoundError):
            own.add(descriptor.readlink().name)
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    ports = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}
    (port,) = ports - {lab.system.api_port}
    return port


def met(proxy: TcpProxy, mode: Mode) -> bool:
    return proxy.pieces[mode] > 0


def test_rows_that_are_late_cut_off_swallowed_or_repeated_leave_the_numbers_right(lab: Lab, seed: int) -> None:
    rnd = random.Random(seed)
    lab.system.start()
    port = intake_port(lab)
    with TcpProxy(port, rnd) as proxy:
        with lab.load(500, 12, rnd):
            lab.shim.lead(port, proxy.port)
            counter = lab.system.run_info()["pids"]["counter"]
            # Its connection is one from before.
            kill(counter)
            wait_for(lambda: lab.system.run_info()["pids"]["counter"] != counter, SOON_S_MAX, "another counter")
            wait_for(lambda: proxy.pieces["pass"] > 0, SOON_S_MAX, "rows go through the proxy")
            for mode in rnd.sample(MODES, len(MODES)):
                proxy.set_mode(mode)
                wait_for(partial(met, proxy, mode), SOON_S_MAX, f"rows meet a proxy that is {mode}")
                time.sleep(rnd.uniform(0, MODE_S))
            proxy.set_mode("pass")
        lab.await_current()
        print(dict(proxy.pieces), *lab.compare().lines(), sep="\n  ")
    assert lab.restarts() == 1
