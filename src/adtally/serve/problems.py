"""Errors as answers: the one place that maps the error tree to HTTP statuses and RFC 9457 problem details."""

from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from adtally.errors import (
    ConflictError,
    InvalidValueError,
    KeyReusedError,
    LogError,
    NoLongerKeptError,
    NotFoundError,
    StillRunningError,
    StoreUnavailableError,
)
from adtally.serve.auth import ForbiddenError, UnauthenticatedError
from adtally.serve.body import TooLargeError
from adtally.serve.ratelimit import RateLimitedError

MEDIA_TYPE: Final = "application/problem+json"
STORE_RETRY_AFTER_S: Final = 1


class Kind(msgspec.Struct, frozen=True):
    """One kind of problem. `type` is its address, and stays as it is."""

    name: str
    status: int
    title: str
    advice: str

    @property
    def type(self) -> str:
        """Give the problem's type as RFC 9457 has it: a reference to its explanation."""
        return f"/docs#problem-{self.name}"


INVALID: Final = Kind(
    "invalid-value", 400, "A value is not valid", "`field` names the parameter, `detail` says what it must be."
)
UNAUTHENTICATED: Final = Kind(
    "unauthenticated", 401, "No valid API key", "Send `Authorization: Bearer KEY` with a key that was not revoked."
)
FORBIDDEN: Final = Kind(
    "forbidden",
    403,
    "Not allowed with this key",
    "`detail` says what the address needs: an admin's key, or the page's own header.",
)
NOT_FOUND: Final = Kind(
    "not-found", 404, "Not found", "There is no such thing, or none that this key may see; the two look the same."
)
METHOD: Final = Kind("method-not-allowed", 405, "Method not allowed", "The `Allow` header names the methods.")
CONFLICT: Final = Kind("conflict", 409, "Contradicts what is stored", "Read what is stored, and change that.")
STILL_RUNNING: Final = Kind(
    "still-running", 409, "This request is being carried out", "Repeat it later: you will get the answer of the first."
)
KEY_REUSED: Final = Kind(
    "idempotency-key-reused",
    422,
    "The idempotency key belongs to another request",
    "Repeat a request with the same body, or make a new `Idempotency-Key` for a new one.",
)
TOO_LARGE: Final = Kind("too-large", 413, "The request is too large", "Send less at a time.")
NO_LONGER_KEPT: Final = Kind(
    "no-longer-kept",
    422,
    "Retention has removed this",
    "`detail` names the finest granularity that is still there, and from when on finer ones are.",
)
RATE_LIMITED: Final = Kind(
    "rate-limited", 429, "Too many requests", "Wait for the seconds that the `Retry-After` header says."
)
INTERNAL: Final = Kind(
    "internal",
    500,
    "A defect of the server",
    "`instance` is the request's id: the server's log has the reason under it.",
)
UNAVAILABLE: Final = Kind(
    "unavailable", 503, "The store does not answer", "Nothing is lost: try again after the `Retry-After` seconds."
)

KINDS: Final = (
    INVALID,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD,
    CONFLICT,
    STILL_RUNNING,
    KEY_REUSED,
    TOO_LARGE,
    NO_LONGER_KEPT,
    RATE_LIMITED,
    INTERNAL,
    UNAVAILABLE,
)

_KIND_OF_ERROR: Final[tuple[tuple[type[Exception], Kind], ...]] = (
    (NoLongerKeptError, NO_LONGER_KEPT),
    (InvalidValueError, INVALID),
    (UnauthenticatedError, UNAUTHENTICATED),
    (ForbiddenError, FORBIDDEN),
    (NotFoundError, NOT_FOUND),
    (ConflictError, CONFLICT),
    (StillRunningError, STILL_RUNNING),
    (KeyReusedError, KEY_REUSED),
    (TooLargeError, TOO_LARGE),
    (RateLimitedError, RATE_LIMITED),
    (StoreUnavailableError, UNAVAILABLE),
    (LogError, UNAVAILABLE),
)
_KIND_OF_STATUS: Final = {kind.status: kind for kind in KINDS}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details (RFC 9457). `instance` is the request's id, as in the X-Request-Id header."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    field: str | None = None
    """The parameter or member to blame, where there is one."""


def kind_of(error: Exception) -> Kind:
    """Give the kind of problem that an error is; what nobody foresaw is INTERNAL."""
    if isinstance(error, HTTPException):
        return _KIND_OF_STATUS.get(error.status_code, INTERNAL)
    return next((kind for cls, kind in _KIND_OF_ERROR if isinstance(error, cls)), INTERNAL)


def problem_response(error: Exception, request_id: str) -> Response:
    """Give the answer to a request that failed. Internals stay inside."""
    kind = kind_of(error)
    problem = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=_detail(error, kind),
        instance=request_id,
        field=error.field if isinstance(error, InvalidValueError) else None,
    )
    headers = {"Cache-Control": "no-store", **_headers(error, kind)}
    return Response(msgspec.json.encode(problem), kind.status, headers, MEDIA_TYPE)


def _detail(error: Exception, kind: Kind) -> str:
    if kind is INTERNAL:
        return "Something went wrong that should not. It was logged under the id in `instance`."
    if kind is UNAVAILABLE:
        return "The store does not answer now. Try again in a moment."
    if isinstance(error, HTTPException):
        return "There is nothing at this address: /docs lists what there is." if kind is NOT_FOUND else kind.advice
    return str(error)


def _headers(error: Exception, kind: Kind) -> dict[str, str]:
    if isinstance(error, RateLimitedError):
        return {"Retry-After": str(error.retry_after_s)}
    if kind in (UNAVAILABLE, STILL_RUNNING):
        return {"Retry-After": str(STORE_RETRY_AFTER_S)}
    if kind is UNAUTHENTICATED:
        return {"WWW-Authenticate": 'Bearer realm="adtally"'}
    return dict(error.headers or {}) if isinstance(error, HTTPException) else {}
