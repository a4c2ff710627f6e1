"""When passes are made: regularly, once a day a second look at yesterday, and when somebody asks."""

import threading
from collections import OrderedDict
from typing import Final, Literal

import msgspec

from adtally.clock import Clock
from adtally.config import ReconcileConfig
from adtally.errors import AdtallyError, NotFoundError
from adtally.ledger.port import Ledger
from adtally.reconcile.passes import PassReport, Wanted
from adtally.reconcile.reconciler import Reconciler
from adtally.telemetry import log
from adtally.utc import DAY_MS

ARCHIVE_WAIT_MS_MAX: Final = 120_000
REMEMBERED_MAX: Final = 100
"""Requests whose results are kept."""

RETRY_MS: Final = 10_000


class Request(msgspec.Struct, frozen=True):
    """What somebody asked for, and what has become of it."""

    number: int
    wanted: Wanted
    asked_ms: int
    state: Literal["waits for the archiver", "runs", "done", "failed"] = "waits for the archiver"
    hours_done: int = 0
    hours_total: int = 0
    report: PassReport | None = None
    error: str | None = None


class ReconcileLoop:
    """Advances by `step(now_ms)` in a thread of its own; requests may come from any thread."""

    def __init__(self, reconciler: Reconciler, ledger: Ledger, clock: Clock, config: ReconcileConfig) -> None:
        self._reconciler = reconciler
        self._ledger = ledger
        self._clock = clock
        self._config = config
        self._lock = threading.Lock()
        self._requests: OrderedDict[int, Request] = OrderedDict()
        self._next_ms = 0
        self._verified_ms: int | None = None
        self.last: PassReport | None = None
        """The newest regular pass."""
        self.last_ms = 0
        self.failed: str | None = None
        """Why the newest pass did not come to its end; None if it did."""

    def request(self, wanted: Wanted) -> Request:
        """Ask for a pass that knows all that the log holds now; `request_of` tells what becomes of it."""
        now_ms = self._clock.now_ms()
        self._ledger.want_archived(now_ms)
        with self._lock:
            request = Request(max(self._requests, default=0) + 1, wanted, now_ms)
            self._requests[request.number] = request
            while len(self._requests) > REMEMBERED_MAX:
                self._requests.popitem(last=False)
        return request

    def request_of(self, number: int) -> Request:
        """Give a request as it stands. Raises NotFoundError."""
        with self._lock:
            if number not in self._requests:
                raise NotFoundError(f"no request {number}: the last {REMEMBERED_MAX} since the start are known")
            return self._requests[number]

    def step(self, now_ms: int) -> None:
        """Make the pass that is due now, if any; it blocks for as long as that takes."""
        with self._lock:
            open_ = [r for r in self._requests.values() if r.state == "waits for the archiver"]
        for request in open_:
            if self._archived(request, now_ms):
                self._serve(request)
        if now_ms >= self._next_ms or now_ms < self.last_ms:
            self._regular(now_ms)

    def _archived(self, request: Request, now_ms: int) -> bool:
        passed = min((note.passed_ms for note in self._ledger.archive()), default=0)
        return passed >= request.asked_ms or now_ms - request.asked_ms >= ARCHIVE_WAIT_MS_MAX

    def _serve(self, request: Request) -> None:
        self._note(request.number, state="runs")
        try:
            report = self._reconciler.run(
                request.wanted, lambda done, total: self._note(request.number, hours_done=done, hours_total=total)
            )
        except AdtallyError as error:
            self._note(request.number, state="failed", error=str(error))
        else:
            self._note(request.number, state="done", report=report)

    def _regular(self, now_ms: int) -> None:
        verify = self._verified_ms is None or now_ms - self._verified_ms >= DAY_MS
        try:
            self.last = self._reconciler.run(Wanted(verify=verify))
            if verify:
                self._verified_ms = now_ms
            day_ms = self._reconciler.second_pass_due()
            if day_ms is not None:
                self._reconciler.second_pass(day_ms)
            self.failed = None
            self._next_ms = now_ms + self._config.every_ms
        except AdtallyError as error:
            log.error("a reconciling pass did not come to its end, and is tried again", error=str(error))
            self.failed = str(error)
            self._next_ms = now_ms + min(RETRY_MS, self._config.every_ms)
        self.last_ms = now_ms

    def _note(self, number: int, **changes: object) -> None:
        with self._lock:
            if number in self._requests:
                self._requests[number] = msgspec.structs.replace(self._requests[number], **changes)
