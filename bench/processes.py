"""What processes have used of the machine, as Linux tells it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: Iterable[int | None]) -> float:
    """Give the CPU seconds that the living ones among these processes have used, all their threads together."""
    return sum(_ticks(pid) for pid in pids if pid is not None) / TICKS_PER_S


def _ticks(pid: int) -> int:
    # The program's name, in parentheses, may hold spaces; utime and stime are fields 14 and 15 of proc(5).
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
