"""When passes are made: regularly, once a day a second look at yesterday, and when somebody asks."""

from typing import Final

import msgspec

from adtally.config import ReconcileConfig
from adtally.errors import AdtallyError
from adtally.ledger.port import Ledger
from adtally.reconcile.passes import Wanted
from adtally.reconcile.reconciler import Reconciler
from adtally.reconcile.requests import RegularPass, Request, RequestBook
from adtally.telemetry import log
from adtally.utc import DAY_MS

ARCHIVE_WAIT_MS_MAX: Final = 120_000
RETRY_MS: Final = 10_000


class ReconcileLoop:
    """Advances by `step(now_ms)`, for one caller at a time. Requests come through the book, from wherever."""

    def __init__(self, reconciler: Reconciler, book: RequestBook, ledger: Ledger, config: ReconcileConfig) -> None:
        self._reconciler = reconciler
        self._book = book
        self._ledger = ledger
        self._config = config
        self._next_ms = 0
        self._verified_ms: int | None = None
        self._whole = False
        self._regular = RegularPass(0, None, None)

    @property
    def verified(self) -> bool:
        """True once all that is published was held against the ledger, and what differed was made anew."""
        return self._whole

    def step(self, now_ms: int) -> None:
        """Make the pass that is due now, if any; it blocks for as long as that takes. Raises StoreUnavailableError.

        A request that "runs" when a step begins was left behind by a reconciler that died, and is served again.
        """
        for request in self._book.unfinished():
            if request.state == "runs" or self._archived(request, now_ms):
                self._serve(request)
        if now_ms >= self._next_ms or now_ms < self._regular.ended_ms:
            self._make_regular(now_ms)

    def _archived(self, request: Request, now_ms: int) -> bool:
        passed = min((note.passed_ms for note in self._ledger.archive()), default=0)
        return passed >= request.asked_ms or now_ms - request.asked_ms >= ARCHIVE_WAIT_MS_MAX

    def _serve(self, request: Request) -> None:
        at = msgspec.structs.replace(request, state="runs")
        self._book.note(at)

        def progress(done: int, total: int) -> None:
            nonlocal at
            at = msgspec.structs.replace(at, hours_done=done, hours_total=total)
            self._book.note(at)

        try:
            report = self._reconciler.run(request.wanted, progress)
        except AdtallyError as error:
            self._book.note(msgspec.structs.replace(at, state="failed", error=str(error)))
        else:
            self._book.note(msgspec.structs.replace(at, state="done", report=report))

    def _make_regular(self, now_ms: int) -> None:
        verify = self._verified_ms is None or now_ms - self._verified_ms >= DAY_MS
        try:
            report = self._reconciler.run(Wanted(verify=verify))
            if verify:
                self._verified_ms = now_ms
                again, failed = len(report.republished), len(report.failures)
                if again or failed:
                    log.info("the store was compared with the ledger", hours_published_again=again, hours_failed=failed)
                self._whole = self._whole or not report.failures
            day_ms = self._reconciler.second_pass_due()
            if day_ms is not None:
                self._reconciler.second_pass(day_ms)
            self._next_ms = now_ms + self._config.every_ms
            self._regular = RegularPass(now_ms, report, None)
        except AdtallyError as error:
            log.error("a reconciling pass did not come to its end, and is tried again", error=str(error))
            self._next_ms = now_ms + min(RETRY_MS, self._config.every_ms)
            self._regular = RegularPass(now_ms, self._regular.report, str(error))
        self._book.note_pass(self._regular)
