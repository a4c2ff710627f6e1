"""A recounter's child: does the jobs that its standard input brings, one after the other, and ends when it closes."""

import os
import queue
import threading
from collections.abc import Iterator
from typing import Final

import msgspec

from adtally.errors import AdtallyError, LakeDamagedError, LakeFileGoneError
from adtally.reconcile.chdb.engine import Engine
from adtally.reconcile.chdb.messages import Failure, Reply, Request

_READ_BYTES: Final = 1 << 16


def main() -> None:
    """Answer each line of standard input, a Request, by a line of standard output, a Reply."""
    # Whatever a library prints must not stand between the replies.
    replies = os.dup(1)
    os.dup2(2, 1)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), name="parent", daemon=True).start()
    niceness = 0
    while True:
        request = msgspec.json.decode(lines.get(), type=Request)
        if request.tuning.niceness > niceness:
            niceness = os.nice(request.tuning.niceness - niceness)
        os.write(replies, msgspec.json.encode(answer(request)) + b"\n")


def answer(request: Request) -> Reply:
    """Do one job in this process."""
    try:
        engine = Engine(request.job, request.tuning)
        try:
            return engine.run(request.count)
        finally:
            engine.close()
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


if __name__ == "__main__":
    main()
