"""A crowd: people who each open a connection, click once, and go away when they have an answer or no patience left.

Run as a program, for it needs a processor of its own: `python -m support.crowd` with a CrowdSpec as JSON on its
standard input; a CrowdReport comes out. What every answer promised goes to a file, an event a line.
"""

import itertools
import resource
import select
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import msgspec

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
TESTS = Path(__file__).parents[1]
OTHER_FILES = 100


class CrowdSpec(msgspec.Struct, frozen=True):
    """Who comes. `rate` people come each second whatever happens; 0: as soon as another one leaves."""

    port: int
    seconds: float
    rate: float
    at_once_max: int
    """People on the line; more do not even try."""
    patience_s: float
    name: str
    """Begins the names of these people."""
    events: str
    """Where the events go whose clicks were promised to be kept."""


class CrowdReport(msgspec.Struct, frozen=True):
    """What became of them."""

    seconds: float
    came: int
    tried: int
    recorded: int
    recorded_in_time: int
    """Before the last one came."""
    unrecorded: int
    refused: int
    """Told at once that nobody listens: the connection was reset."""
    impatient: int
    """Went away without an answer."""
    p50_ms: float
    p99_ms: float
    max_ms: float
    """From being connected to the answer that their click is kept."""


def gather(spec: CrowdSpec) -> "subprocess.Popen[bytes]":
    """Let a crowd come; `report` waits for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.crowd"], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(spec))
    process.stdin.close()
    return process


def report(process: "subprocess.Popen[bytes]") -> CrowdReport:
    """Wait until the last one went away."""
    assert process.stdout is not None
    with process, process.stdout as out:
        text = out.read()
    return msgspec.json.decode(text, type=CrowdReport)


class Person:
    __slots__ = ("came_s", "connected_s", "heard", "number", "socket")

    def __init__(self, sock: socket.socket, number: int, came_s: float) -> None:
        self.socket = sock
        self.number = number
        self.came_s = came_s
        self.connected_s = 0.0
        self.heard = b""


class Crowd:
    def __init__(self, spec: CrowdSpec, files_max: int) -> None:
        self.spec = spec
        self.files_max = files_max
        self.poll = select.epoll()
        self.people: dict[int, Person] = {}
        self.queue: deque[Person] = deque()
        """By when they came: the first loses patience first."""
        self.numbers = itertools.count(1)
        self.came = self.tried = self.recorded = self.in_time = self.unrecorded = self.refused = self.impatient = 0
        self.waits_s: list[float] = []
        self.tail = f" HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n".encode()

    def run(self) -> CrowdReport:
        begun_s = now_s = time.monotonic()
        self.ends_s = begun_s + self.spec.seconds
        with Path(self.spec.events).open("wb") as self.events:
            while now_s < self.ends_s or self.people:
                if now_s < self.ends_s:
                    self._arrive(now_s, now_s - begun_s)
                for descriptor, event in self.poll.poll(0.002, 512):
                    if (person := self.people.get(descriptor)) is not None:
                        self._turn(person, event)
                now_s = time.monotonic()
                while self.queue and self.queue[0].came_s < now_s - self.spec.patience_s:
                    person = self.queue.popleft()
                    if self.people.get(person.number) is person:
                        self.impatient += 1
                        self._leave(person)
        waits_ms = sorted(1_000 * wait_s for wait_s in self.waits_s) or [0.0]
        at = [waits_ms[min(len(waits_ms) - 1, int(len(waits_ms) * share))] for share in (0.5, 0.99, 1.0)]
        counts = self.came, self.tried, self.recorded, self.in_time, self.unrecorded, self.refused, self.impatient
        return CrowdReport(self.spec.seconds, *counts, *at)

    def _arrive(self, now_s: float, since_s: float) -> None:
        room = min(self.spec.at_once_max, self.files_max) - len(self.people)
        wanted = int(since_s * self.spec.rate) - self.came if self.spec.rate else room
        self.came += wanted
        # Few at a time, so that answers are heard between them.
        for _ in range(min(wanted, room)):
            sock = socket.socket()
            sock.setblocking(False)
            self.tried += 1
            try:
                sock.connect(("127.0.0.1", self.spec.port))
            except BlockingIOError:
                pass
            except OSError:
                # No port is free for one more connection.
                sock.close()
                self.refused += 1
                continue
            person = Person(sock, sock.fileno(), now_s)
            self.people[person.number] = person
            self.queue.append(person)
            self.poll.register(person.number, select.EPOLLOUT)

    def _turn(self, person: Person, event: int) -> None:
        try:
            if event & select.EPOLLOUT and not person.connected_s:
                person.connected_s = time.monotonic()
                user = f"{self.spec.name}{next(self.numbers)}".encode()
                person.socket.send(b"GET /click?ad_id=ad_1&user_id=" + user + self.tail)
                self.poll.modify(person.number, select.EPOLLIN)
                return
            if heard := person.socket.recv(4_096):
                person.heard += heard
                if b"\r\n\r\n" not in person.heard:
                    return
                self._answered(person)
            else:
                self.refused += 1
        except OSError:
            self.refused += 1
        self._leave(person)

    def _answered(self, person: Person) -> None:
        assert person.heard.startswith(b"HTTP/1.1 302"), person.heard
        if b"X-Click-Recorded: false" in person.heard:
            self.unrecorded += 1
            return
        now_s = time.monotonic()
        self.recorded += 1
        self.in_time += now_s < self.ends_s
        self.waits_s.append(now_s - person.connected_s)
        self.events.write(person.heard.partition(b"X-Click-Event: ")[2].partition(b"\r\n")[0] + b"\n")

    def _leave(self, person: Person) -> None:
        del self.people[person.number]
        person.socket.close()


def main() -> None:
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=CrowdSpec)
    sys.stdout.buffer.write(msgspec.json.encode(Crowd(spec, files_max(spec.at_once_max)).run()))


def files_max(wanted: int) -> int:
    """Give how many connections the limit of open files leaves room for, raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + OTHER_FILES:
        soft = wanted + OTHER_FILES if hard == resource.RLIM_INFINITY else min(wanted + OTHER_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft - OTHER_FILES


if __name__ == "__main__":
    main()
