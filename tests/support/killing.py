"""Death at a named place (adtally.faultpoint), for processes that tests start."""

import os
import signal

from adtally import faultpoint


def kill_at(point: str, after: int) -> None:
    """Die when `point` is reached for the `after`th time."""
    left = after

    def reached(name: str) -> None:
        nonlocal left
        left -= name == point
        if name == point and left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    faultpoint.on_reach = reached
