"""Implements Recounter by chDB in a child process, whose memory and whose crashes are its own."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, Final

import msgspec

from adtally.errors import LakeDamagedError, LakeFileGoneError, RecountError
from adtally.reconcile.chdb.messages import Failure, Reply, Request, Tuning
from adtally.reconcile.port import HourCount, Recounted, RecountJob

_LAST_WORDS_BYTES: Final = 2_000


class ChdbRecounter:
    """One child does one job at a time, and stays for the next one until `close`; a dead child is replaced.

    The child itself takes up to 500 MB beside the job's `memory_bytes_max`, which is chDB's own limit.
    """

    def __init__(self, tuning: Tuning | None = None) -> None:
        self._tuning = tuning or Tuning()
        self._one_at_a_time = threading.Lock()
        self._child: _Child | None = None

    def recount(self, job: RecountJob) -> Recounted:
        """Count a range of hours. Raises LakeFileGoneError, LakeDamagedError that names the file, or RecountError."""
        reply = self._ask(Request(job, True, self._tuning))
        return Recounted(reply.files, reply.hours, reply.engine, reply.memory_bytes_peak)

    def manifests(self, job: RecountJob) -> Mapping[int, HourCount]:
        """Give which events the hours hold. Raises as `recount`."""
        return self._ask(Request(job, False, self._tuning)).hours

    def close(self) -> None:
        """Kill the child, from any thread: a job that it does ends with RecountError. The next job starts another."""
        child = self._child
        if child is not None:
            child.kill()
            with self._one_at_a_time:
                child.bury()

    @property
    def child_pid(self) -> int | None:
        """The process that would do, or does, a job; None before the first."""
        return None if self._child is None else self._child.pid

    def _ask(self, request: Request) -> Reply:
        with self._one_at_a_time:
            if self._child is None or not self._child.alive:
                self._child = _Child()
            reply = self._child.ask(request)
        if reply.failure is not None:
            raise _raised(reply.failure)
        return reply


class _Child:
    def __init__(self) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._process = subprocess.Popen(
            [sys.executable, "-m", "adtally.reconcile.chdb.child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
        )  # fmt: skip
        self.pid = self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it can take a job."""
        return not self._stderr.closed and self._process.poll() is None

    def ask(self, request: Request) -> Reply:
        """Send a job and wait for its end. Raises RecountError with the child's last words if it dies."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError):
            line = b""
        if line.endswith(b"\n"):
            return msgspec.json.decode(line, type=Reply)
        raise RecountError(f"the recount's process ended with {self.bury()}")

    def kill(self) -> None:
        """End whatever it does."""
        self._process.kill()

    def bury(self) -> str:
        """Take leave of a child for good, once or more; give its exit status and its last words."""
        self._process.kill()
        status = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    # What was still to be sent has nobody to read it.
                    continue
        if self._stderr.closed:
            return f"status {status}"
        size = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, size - _LAST_WORDS_BYTES))
        words = self._stderr.read().decode(errors="replace").strip()
        self._stderr.close()
        return f"status {status}" + (f": {words}" if words else "")


def _raised(failure: Failure) -> LakeFileGoneError | LakeDamagedError | RecountError:
    if failure.kind == "damaged":
        return LakeDamagedError(failure.file, failure.reason)
    if failure.kind == "gone":
        return LakeFileGoneError(failure.reason)
    return RecountError(failure.reason)
