"""POST /v1/reconcile and what becomes of it: a recount that somebody asks for."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from adtally.errors import InvalidValueError, StoreUnavailableError
from adtally.ledger.port import HourLine, HourState
from adtally.reconcile.passes import Wanted
from adtally.reconcile.requests import Desk, Request
from adtally.serve.ads import NoParams
from adtally.serve.caller import Call
from adtally.serve.endpoint import NoBody
from adtally.serve.values import parse_hour, rfc3339
from adtally.utc import HOUR_MS


class ReconcileWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be recounted."""

    hour: Annotated[
        str | None, Meta(description="One hour, due or not, such as 2026-11-23T10; null for all that is due.")
    ] = None
    dry_run: Annotated[bool, Meta(description="Recount and compare, publish nothing.")] = False
    accept_missing: Annotated[
        bool, Meta(description="Publish the hour although events are missing from the lake. Needs an hour.")
    ] = False


class RequestParams(msgspec.Struct, frozen=True):
    """Which request."""

    number: Annotated[int, Meta(ge=1)]


class ReconciledHour(msgspec.Struct, frozen=True):
    """What a pass found about one hour. Hours whose numbers and events were as before are not named."""

    hour: str
    state: HourState
    revision: int
    counted_before: int
    counted: int
    keys_differed: int
    difference: int
    missing: int
    note: str


class ReconcileState(msgspec.Struct, frozen=True):
    """A request as it stands."""

    number: int
    state: Literal["waits for the archiver", "runs", "done", "failed"]
    hours_done: int
    hours_total: int
    hours: list[ReconciledHour]
    republished: list[str]
    failures: list[str]
    """What went wrong with single hours; they stay due."""
    complete_through: str | None
    """Hours that end by then are complete, and counted."""
    waits: str
    """What holds the next hour back."""
    error: str | None


def post_reconcile(call: Call[NoParams, ReconcileWanted]) -> ReconcileState:
    """Answer POST /v1/reconcile: the work goes on behind the answer."""
    asked = call.body
    if asked.accept_missing and asked.hour is None:
        raise InvalidValueError("accept_missing", "needs an hour: whoever gives events up must name which")
    try:
        hour_ms = None if asked.hour is None else int(parse_hour(asked.hour))
    except ValueError as error:
        raise InvalidValueError("hour", str(error)) from None
    if hour_ms is not None and hour_ms + HOUR_MS > call.now_ms:
        raise InvalidValueError("hour", f"{asked.hour} has not ended yet")
    return _told(_desk(call).request(Wanted(hour_ms, asked.dry_run, asked.accept_missing)))


def get_reconcile(call: Call[RequestParams, NoBody]) -> ReconcileState:
    """Answer GET /v1/reconcile/{number}."""
    return _told(_desk(call).request_of(call.params.number))


def _desk(call: Call[NoParams, ReconcileWanted] | Call[RequestParams, NoBody]) -> Desk:
    if call.services.reconciling is None:
        raise StoreUnavailableError("this server cannot reach a reconciler")
    return call.services.reconciling


def _told(request: Request) -> ReconcileState:
    report = request.report
    return ReconcileState(
        number=request.number,
        state=request.state,
        hours_done=request.hours_done,
        hours_total=request.hours_total,
        hours=[] if report is None else [_hour(line) for line in report.lines],
        republished=[] if report is None else [rfc3339(hour_ms) for hour_ms in report.republished],
        failures=[] if report is None else list(report.failures),
        complete_through=None
        if report is None or report.complete_through_ms <= 0
        else rfc3339(report.complete_through_ms),
        waits="" if report is None else report.waits,
        error=request.error,
    )


def _hour(line: HourLine) -> ReconciledHour:
    return ReconciledHour(
        hour=rfc3339(line.hour_ms),
        state=line.state,
        revision=line.revision,
        counted_before=line.previous.get("counted", 0),
        counted=line.final.get("counted", 0),
        keys_differed=line.keys_differed,
        difference=line.difference,
        missing=line.missing,
        note=line.note,
    )
