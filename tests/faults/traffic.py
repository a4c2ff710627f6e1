"""Clicks for a system under test, from a process that no fault touches."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.embedded import ADTALLY, Embedded


@contextmanager
def load(system: Embedded, truth: Path, rate: float, seconds: float, seed: int) -> "Iterator[subprocess.Popen[bytes]]":
    """Send clicks while the block runs, and wait for the last of them at its end."""
    command = [*ADTALLY, "load", "--rate", str(rate), "--seconds", str(seconds), "--truth", str(truth)]
    command += ["--data-dir", str(system.folder), "--seed", str(seed)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as sending:
        yield sending
    assert sending.returncode == 0
