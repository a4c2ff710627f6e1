"""A recounter's child: does the jobs that its standard input brings, one after the other, and ends when it closes."""

import os
import queue
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from adtally.errors import AdtallyError, LakeDamagedError, LakeFileGoneError
from adtally.reconcile.messages import Failure, Reply

_READ_BYTES: Final = 1 << 16
_CRASHES: Final = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)


def serve(answer: Callable[[bytes], Reply]) -> None:
    """Answer each line of standard input, a request, by a line of standard output, a Reply; never returns.

    What `answer` raises is a failure of the job.
    """
    # Whatever a library prints must not stand between the replies.
    replies = os.dup(1)
    os.dup2(2, 1)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), name="parent", daemon=True).start()
    while True:
        line = lines.get()
        os.write(replies, msgspec.json.encode(_attempt(lambda line=line: answer(line))) + b"\n")  # type: ignore[misc]


def die_of_crashes() -> None:
    """Let a crash end this process at once, from its main thread: chDB handles it by waiting for minutes."""
    for number in _CRASHES:
        signal.signal(number, signal.SIG_DFL)


def be_nice(niceness: int) -> None:
    """Leave the processors to others, as far as this process does not so already."""
    had = os.nice(0)
    if niceness > had:
        os.nice(niceness - had)


def memory_bytes_peak(pids: Iterable[int | str] = ("self",)) -> int:
    """Give what processes took at most since their start, each by itself, added up."""
    if Path("/proc/self/status").exists():
        # Not getrusage: on Linux it begins with the peak of the process that started this one.
        return sum(map(_peak, pids))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak(pid: int | str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _attempt(work: Callable[[], Reply]) -> Reply:
    try:
        return work()
    except LakeDamagedError as error:
        return Reply(failure=Failure("damaged", error.reason, error.file))
    except LakeFileGoneError as error:
        return Reply(failure=Failure("gone", str(error)))
    except (AdtallyError, OSError, RuntimeError) as error:
        return Reply(failure=Failure("recount", str(error)))


def _read(lines: "queue.SimpleQueue[bytes]") -> None:
    for line in _lines():
        lines.put(line)
    # The parent is gone, or wants no more; what is half done is of no use to anybody.
    os._exit(0)


def _lines() -> Iterator[bytes]:
    # Not through sys.stdin: a thread that waits in its buffer at the end of the process would abort it.
    line = b""
    while got := os.read(0, _READ_BYTES):
        line += got
        while b"\n" in line:
            first, _, line = line.partition(b"\n")
            yield first
