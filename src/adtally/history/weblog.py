"""Reads web server logs in the combined format of Apache httpd (mod_log_config) and nginx.

    host ident user [10/Oct/2026:13:55:36 +0200] "GET /click?ad_id=a HTTP/1.1" 302 0 "referer" "user agent"

A click is a GET or HEAD of /click that was answered with a redirect: whoever got another answer was not sent on to an
advertiser. What follows the user agent is ignored; times have whole seconds.
"""

import enum
import re
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from ipaddress import ip_address
from typing import BinaryIO, Final

from adtally.edge.query import parse_click_query
from adtally.errors import InvalidValueError
from adtally.history.rows import ClickRow, check_time
from adtally.rowfiles import read_lines

CLICK_PATH: Final = b"/click"
REDIRECTS: Final = frozenset({b"301", b"302", b"303", b"307", b"308"})

_QUOTED: Final = rb'"((?:[^"\\]|\\.)*)"'
_LINE: Final = re.compile(
    rb"(\S+) \S+ [^\[]*\[([^\]]*)\] " + _QUOTED + rb" ([0-9]{3}) \S+ " + _QUOTED + rb" " + _QUOTED + rb"(?:[ \r\n].*)?",
    re.DOTALL,
)
_REQUEST: Final = re.compile(rb"([A-Z]+) ([^ ?]*)\??([^ ]*) HTTP/[0-9.]+")
_TIME: Final = re.compile(
    rb"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2}) ([-+])([0-9]{2})([0-9]{2})"
)
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_NAMED: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"v": b"\v", b"f": b"\f"}


class Skip(enum.Enum):
    """Why a line of a log is no click, though nothing is wrong with it."""

    OTHER_PATH = "other_path"
    OTHER_METHOD = "other_method"
    NO_REDIRECT = "no_redirect"


WeblogRows = Generator[tuple[int, ClickRow | str | Skip], None, None]
"""A line number, and the click, what is wrong with the line, or why it is no click."""


def read_weblog(source: BinaryIO, now_ms: int) -> WeblogRows:
    """Read a log line by line; times after `now_ms` are refused."""
    with closing(read_lines(source)) as lines:
        for line, content in lines:
            if isinstance(content, str):
                yield line, content
                continue
            try:
                yield line, _parse(content, now_ms)
            except InvalidValueError as error:
                yield line, str(error)


def _parse(content: bytes, now_ms: int) -> ClickRow | Skip:
    match = _LINE.fullmatch(content)
    if match is None:
        raise InvalidValueError("line", "is not of the combined log format")
    host, time, request, status, referrer, agent = match.groups()
    asked = _REQUEST.fullmatch(_unescaped(request))
    # What is no request at all (a scanner's bytes, a connection that broke off) was no click either.
    if asked is None or asked[2] != CLICK_PATH:
        return Skip.OTHER_PATH
    if asked[1] not in (b"GET", b"HEAD"):
        return Skip.OTHER_METHOD
    if status not in REDIRECTS:
        return Skip.NO_REDIRECT
    ts_ms = _time_ms(time)
    check_time(ts_ms, now_ms)
    params = parse_click_query(asked[3])
    return ClickRow(
        ts_ms,
        params.ad_id,
        params.user_id,
        params.impression_id,
        _value(agent),
        _address(host),
        _value(referrer),
        head=asked[1] == b"HEAD",
    )


@lru_cache(1_024)
def _time_ms(text: bytes) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidValueError("time", f"{text[:40]!r} does not look like 10/Oct/2026:13:55:36 +0200")
    try:
        day, month, year, hour, minute, second, sign, offset_hours, offset_minutes = match.groups()
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
        zone = timezone(-offset if sign == b"-" else offset) if offset else UTC
        at = datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=zone)
        return int(at.timestamp()) * 1000
    except (ValueError, OverflowError) as error:
        raise InvalidValueError("time", f"{text[:40]!r} is no time of a log: {error}") from None


@lru_cache(65_536)
def _address(host: bytes) -> str:
    """Give the host where it is an address; a log may hold names instead, which tell no network."""
    try:
        return str(ip_address(host.decode("ascii")))
    except ValueError:
        return ""


def _value(quoted: bytes) -> bytes:
    return b"" if quoted == b"-" else _unescaped(quoted)


def _unescaped(quoted: bytes) -> bytes:
    """Undo what servers do to quotes, backslashes and control characters: `\\"`, `\\n` (httpd), `\\x22` (both)."""
    return _ESCAPE.sub(_character, quoted) if b"\\" in quoted else quoted


def _character(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code[1:], 16)]) if len(code) > 1 else _NAMED.get(code, code)
