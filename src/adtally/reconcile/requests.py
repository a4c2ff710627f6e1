"""Passes that somebody asks for, and what became of them: between whoever asks and the reconciler."""

import threading
from collections import OrderedDict
from typing import Final, Literal, Protocol

import msgspec

from adtally.clock import Clock
from adtally.errors import NotFoundError
from adtally.ledger.port import Ledger
from adtally.reconcile.passes import PassReport, Wanted

REMEMBERED_MAX: Final = 100
"""Requests whose results are kept."""

RequestState = Literal["waits for the archiver", "runs", "done", "failed"]


class Request(msgspec.Struct, frozen=True):
    """What somebody asked for, and what has become of it."""

    number: int
    wanted: Wanted
    asked_ms: int
    state: RequestState = "waits for the archiver"
    hours_done: int = 0
    hours_total: int = 0
    report: PassReport | None = None
    error: str | None = None


class RegularPass(msgspec.Struct, frozen=True):
    """How the newest regular pass went."""

    ended_ms: int
    report: PassReport | None
    """Of the newest pass that came to its end; None before the first."""
    failed: str | None
    """Why the newest one did not; None if it did."""


class RequestBook(Protocol):
    """Holds the newest requests and the newest pass. Thread-safe. Raises StoreUnavailableError where it is away."""

    def add(self, wanted: Wanted, now_ms: int) -> Request:
        """Note a request under the next number."""
        ...

    def get(self, number: int) -> Request:
        """Give a request as it stands. Raises NotFoundError for one that is not, or no longer, known."""
        ...

    def unfinished(self) -> list[Request]:
        """Give the requests that are neither done nor failed, by number."""
        ...

    def note(self, request: Request) -> None:
        """Put a request in the place of the one with its number; one that is no longer known stays so."""
        ...

    def note_pass(self, regular: RegularPass) -> None:
        """Note how the newest regular pass went."""
        ...

    def last_pass(self) -> RegularPass | None:
        """Give how the newest regular pass went, None before the first."""
        ...


class MemoryRequests:
    """Implements RequestBook for a reconciler in the API's own process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: OrderedDict[int, Request] = OrderedDict()
        self._pass: RegularPass | None = None

    def add(self, wanted: Wanted, now_ms: int) -> Request:
        """Note a request under the next number."""
        with self._lock:
            request = Request(max(self._requests, default=0) + 1, wanted, now_ms)
            self._requests[request.number] = request
            while len(self._requests) > REMEMBERED_MAX:
                self._requests.popitem(last=False)
        return request

    def get(self, number: int) -> Request:
        """Give a request as it stands. Raises NotFoundError."""
        with self._lock:
            if number not in self._requests:
                raise unknown_request(number)
            return self._requests[number]

    def unfinished(self) -> list[Request]:
        """Give the requests that are neither done nor failed."""
        with self._lock:
            return [request for request in self._requests.values() if request.state not in ("done", "failed")]

    def note(self, request: Request) -> None:
        """Put a request in the place of the one with its number."""
        with self._lock:
            if request.number in self._requests:
                self._requests[request.number] = request

    def note_pass(self, regular: RegularPass) -> None:
        """Note how the newest regular pass went."""
        self._pass = regular

    def last_pass(self) -> RegularPass | None:
        """Give how the newest regular pass went."""
        return self._pass


class Desk:
    """Where passes are asked for. Thread-safe."""

    def __init__(self, book: RequestBook, ledger: Ledger, clock: Clock) -> None:
        self._book = book
        self._ledger = ledger
        self._clock = clock

    def request(self, wanted: Wanted) -> Request:
        """Ask for a pass that knows all that the log holds now; `request_of` tells what becomes of it."""
        now_ms = self._clock.now_ms()
        self._ledger.want_archived(now_ms)
        return self._book.add(wanted, now_ms)

    def request_of(self, number: int) -> Request:
        """Give a request as it stands. Raises NotFoundError."""
        return self._book.get(number)

    def last_pass(self) -> RegularPass | None:
        """Give how the newest regular pass went, None before the first."""
        return self._book.last_pass()


def unknown_request(number: int) -> NotFoundError:
    """Give the error for a request that is not known."""
    return NotFoundError(f"no request {number}: the last {REMEMBERED_MAX} are known")
