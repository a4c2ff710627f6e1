"""One click of the past, as a file tells it: what is read here was checked by the rules that edges keep (section 8)."""

from typing import Final

import msgspec

from adtally.errors import InvalidValueError
from adtally.registry.rules import ID_BYTES_MAX, check_id
from adtally.rfc3339 import parse_rfc3339

TS_MS_MIN: Final = 946_684_800_000
"""2000-01-01: what lies before it is a mistake, such as seconds taken for milliseconds."""

_DIGITS_MAX: Final = 15
_SHOWN_MAX: Final = 40


class ClickRow(msgspec.Struct, frozen=True, gc=False):
    """One click. Ids hold to the rules; what was not told is None or empty."""

    ts_ms: int
    ad_id: str
    user_id: str | None
    impression_id: str | None
    user_agent: bytes
    ip: str
    """A whole address or nothing; not yet checked, and never to be stored."""
    referrer: bytes
    head: bool = False
    """It was asked for with HEAD."""


def click_row(
    ts: str | int,
    ad_id: str,
    user_id: str | None,
    impression_id: str | None,
    user_agent: str | None,
    ip: str | None,
    referrer: str | None,
    now_ms: int,
) -> ClickRow:
    """Make a row of a file's values. Raises InvalidValueError that names the column.

    An optional value that is empty counts as not given: CSV knows no other way to say so.
    """
    _check("ad_id", ad_id)
    if user_id:
        _check("user_id", user_id)
    if impression_id:
        _check("impression_id", impression_id)
    return ClickRow(
        parse_ts(ts, now_ms), ad_id, user_id or None, impression_id or None, _raw(user_agent), ip or "", _raw(referrer)
    )


def parse_ts(ts: str | int, now_ms: int) -> int:
    """Give a click's time, from RFC 3339 or epoch milliseconds, as epoch milliseconds. Raises InvalidValueError."""
    if isinstance(ts, int):
        ts_ms: int | None = ts
    elif ts.isascii() and ts.isdigit() and len(ts) <= _DIGITS_MAX:
        ts_ms = int(ts)
    else:
        try:
            ts_ms = parse_rfc3339(ts)
        except ValueError as error:
            raise InvalidValueError("ts", str(error)) from None
    if ts_ms is None:
        raise InvalidValueError(
            "ts",
            f"{str(ts)[:_SHOWN_MAX]!r} is no time: give RFC 3339 such as 2026-11-23T10:00:00Z, or epoch milliseconds",
        )
    check_time(ts_ms, now_ms)
    return ts_ms


def check_time(ts_ms: int, now_ms: int) -> None:
    """Raise InvalidValueError for a time before 2000 or after now."""
    if ts_ms < TS_MS_MIN:
        raise InvalidValueError("ts", f"{ts_ms} ms lies before 2000: give epoch milliseconds, or RFC 3339")
    if ts_ms > now_ms:
        raise InvalidValueError("ts", f"{ts_ms} ms lies in the future")


def _check(field: str, value: str) -> None:
    # Nearly all ids are like this, and asking is much faster than the rule itself.
    if not (0 < len(value) <= ID_BYTES_MAX and value.isascii() and value.isprintable()):
        check_id(field, value)


def _raw(text: str | None) -> bytes:
    # From CSV, bytes that are no UTF-8 come as surrogates; lone surrogates of another kind cannot be kept at all.
    return b"" if not text else text.encode("utf-8", "surrogateescape")
