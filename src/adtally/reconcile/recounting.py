"""Implements Recounter by a child process, whose memory and whose crashes are its own."""

import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import IO, ClassVar, Final

import msgspec

from adtally.errors import LakeDamagedError, LakeFileGoneError, RecountDiedError, RecountError
from adtally.reconcile.messages import Failure, Reply
from adtally.reconcile.port import HourCount, Recounted, RecountJob

_LAST_WORDS_BYTES: Final = 2_000


class ChildRecounter(ABC):
    """One child does one job at a time, and stays for the next one until `close`; a dead child is replaced."""

    module: ClassVar[str]
    """What the child runs: it answers requests by `answering.serve`."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._child: _Child | None = None

    @abstractmethod
    def request(self, job: RecountJob, *, count: bool) -> msgspec.Struct:
        """Give what the child is to be told; without `count` only manifests are wanted."""

    def recount(self, job: RecountJob) -> Recounted:
        """Count a range of hours. Raises LakeFileGoneError, LakeDamagedError that names the file, or RecountError."""
        reply = self._ask(self.request(job, count=True))
        return Recounted(reply.files, reply.hours, reply.engine, reply.memory_bytes_peak)

    def manifests(self, job: RecountJob) -> Mapping[int, HourCount]:
        """Give which events the hours hold. Raises as `recount`."""
        return self._ask(self.request(job, count=False)).hours

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

    def _ask(self, request: msgspec.Struct) -> Reply:
        with self._one_at_a_time:
            if self._child is None or not self._child.alive:
                self._child = _Child(self.module)
            reply = self._child.ask(msgspec.json.encode(request))
        if reply.failure is not None:
            raise _raised(reply.failure)
        return reply


class _Child:
    def __init__(self, module: str) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        command = [sys.executable, "-m", module]
        self._process = subprocess.Popen(  # noqa: S603 - a module of ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr
        )
        self.pid = self._process.pid
        self._killed = False

    @property
    def alive(self) -> bool:
        """Tell whether it can take a job."""
        return not self._stderr.closed and self._process.poll() is None

    def ask(self, request: bytes) -> Reply:
        """Send a job and wait for its end.

        Raises RecountDiedError with the child's last words if it dies, RecountError if it was killed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(request + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except (OSError, ValueError):
            line = b""
        if line.endswith(b"\n"):
            return msgspec.json.decode(line, type=Reply)
        raised = RecountError if self._killed else RecountDiedError
        raise raised(f"the recount's process ended with {self.bury()}")

    def kill(self) -> None:
        """End whatever it does."""
        self._killed = True
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
