"""GET /v1/status and /v1/about: what runs here, how it is, how far it has come."""

from collections.abc import Callable

import msgspec

from adtally import __version__
from adtally.counting import COUNTING_VERSION, MINUTE_MS
from adtally.errors import StoreUnavailableError
from adtally.olap.port import EVERYONE, AggregateQuery
from adtally.serve.ads import NoParams
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.services import Services
from adtally.serve.values import rfc3339
from adtally.stream.port import StreamReport


class Part(msgspec.Struct, frozen=True):
    """One part's health; `reason` says what is wrong."""

    healthy: bool
    reason: str | None = None


class LedgerStatus(msgspec.Struct, frozen=True):
    """What the ledger says of all hours."""

    final_through: str | None
    """Everything before is final, without a gap; null if nothing is."""
    last_commit: int
    open: int
    """Hours since the ledger's first, the running one included, that are not final."""
    damaged: int
    """Hours that lost events which were there: an alarm."""
    missing: int
    """Numbers that edges gave and that are not in the lake, of all hours."""


class ArchiverStatus(msgspec.Struct, frozen=True):
    """How far the lake reaches."""

    passed: str
    """In every partition, everything that was appended before is in the lake."""
    lag_ms: int
    """From `passed` to now; the archiver writes about once a minute."""
    positions: dict[str, str]
    """From where it would read on, by partition."""


class ReconcilerStatus(msgspec.Struct, frozen=True):
    """The newest regular pass over the hours."""

    last_pass: str | None
    """When it ended; null before the first."""
    failed: str | None
    """Why it did not come to its end: it is tried again."""
    failures: list[str]
    """Hours that it could not recount, and why; they stay due."""
    complete_through: str | None
    """Hours that end by then are complete."""
    waits: str
    """What holds the next hour back."""


class Status(msgspec.Struct, frozen=True):
    """The API's view of the system."""

    version: str
    counting_version: int
    now: str
    as_of: str | None
    """Everything that was clicked before is counted; null if the stream has not reported since the API's start."""
    lag_ms: int | None
    """From `as_of` to now."""
    store: Part
    registry: Part
    ledger: Part
    hours: LedgerStatus | None
    """null if the ledger does not answer."""
    archiver: ArchiverStatus | None
    """null before the archiver's first report."""
    reconciler: ReconcilerStatus | None
    """null where this server reaches none."""
    not_ready: list[str]
    stream: StreamReport | None


class About(msgspec.Struct, frozen=True):
    """What this server is, and where clicks go."""

    version: str
    click_url: str | None


def get_status(call: Call[NoParams, NoBody]) -> Status:
    """Answer GET /v1/status."""
    services = call.services
    as_of_ms = services.progress.as_of_ms
    # The smallest question that goes all the way: a minute in which nothing was ever counted.
    nothing = AggregateQuery(tenant=EVERYONE, edges_ms=(0, MINUTE_MS))
    return Status(
        version=__version__,
        counting_version=COUNTING_VERSION,
        now=rfc3339(call.now_ms),
        as_of=None if as_of_ms is None else rfc3339(as_of_ms),
        lag_ms=None if as_of_ms is None else max(0, call.now_ms - as_of_ms),
        store=_health(lambda: services.reader.aggregate(nothing)),
        registry=_health(services.registry.ping),
        ledger=_health(services.ledger.ping),
        hours=_hours(call),
        archiver=_archiver(services, call.now_ms),
        reconciler=_reconciler(services),
        not_ready=services.ready(),
        stream=services.progress.report,
    )


def get_about(call: Call[NoParams, NoBody]) -> About:
    """Answer GET /v1/about."""
    return About(__version__, call.services.click_url)


def _hours(call: Call[NoParams, NoBody]) -> LedgerStatus | None:
    try:
        standing = call.watch.look()
    except StoreUnavailableError:
        return None
    through_ms = standing.finality.final_through_ms
    return LedgerStatus(
        final_through=None if through_ms is None else rfc3339(through_ms),
        last_commit=standing.commit,
        open=standing.finality.open_hours(call.now_ms),
        damaged=standing.hours.get("damaged", 0),
        missing=standing.missing,
    )


def _archiver(services: Services, now_ms: int) -> ArchiverStatus | None:
    try:
        notes = services.ledger.archive()
    except StoreUnavailableError:
        return None
    if not notes:
        return None
    passed_ms = min(note.passed_ms for note in notes)
    positions = {str(note.partition): str(note.position) for note in notes}
    return ArchiverStatus(rfc3339(passed_ms), max(0, now_ms - passed_ms), positions)


def _reconciler(services: Services) -> ReconcilerStatus | None:
    try:
        regular = None if services.reconciling is None else services.reconciling.last_pass()
    except StoreUnavailableError:
        return None
    if services.reconciling is None:
        return None
    report = None if regular is None else regular.report
    complete_ms = 0 if report is None else report.complete_through_ms
    return ReconcilerStatus(
        last_pass=None if regular is None else rfc3339(regular.ended_ms),
        failed=None if regular is None else regular.failed,
        failures=[] if report is None else list(report.failures),
        complete_through=rfc3339(complete_ms) if complete_ms > 0 else None,
        waits="" if report is None else report.waits,
    )


def _health(ask: Callable[[], object]) -> Part:
    try:
        ask()
    except StoreUnavailableError as error:
        return Part(False, str(error))
    return Part(True)
