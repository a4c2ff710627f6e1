"""Web server logs in the combined format."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adtally.history.files import read_rows
from adtally.history.rows import ClickRow
from adtally.history.weblog import Skip

NOW_MS = 1_795_000_000_000
LINE = (
    b'192.0.2.7 - alice [10/Oct/2025:13:55:36 +0200] "GET /click?ad_id=a&user_id=u HTTP/1.1" 302 0 '
    b'"https://news.example/x?y" "Mozilla/5.0 (X11)"\n'
)
CLICK = ClickRow(1_760_097_336_000, "a", "u", None, b"Mozilla/5.0 (X11)", "192.0.2.7", b"https://news.example/x?y")
IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def parse(line: bytes) -> object:
    ((_, row),) = read_rows(io.BytesIO(line), "weblog", NOW_MS)
    return row


def nginx(value: bytes) -> bytes:
    """Escape as nginx does (log_format, "escape=default")."""
    return b"".join(b"\\x%02X" % c if c in b'"\\' or c < 32 or c > 126 else bytes([c]) for c in value) or b"-"


def httpd(value: bytes) -> bytes:
    """Escape as httpd does (mod_log_config, "Security Considerations")."""
    named = {0x22: b'\\"', 0x5C: b"\\\\", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t", 0x0B: b"\\v", 0x08: b"\\b"}
    return b"".join(named.get(c) or (b"\\x%02x" % c if c < 32 or c > 126 else bytes([c])) for c in value) or b"-"


def test_a_line_becomes_a_click() -> None:
    assert parse(LINE) == CLICK


@settings(deadline=None)
@given(
    ts_s=st.integers(946_771_200, NOW_MS // 1000),
    offset_minutes=st.integers(-12 * 60, 14 * 60),
    ad_id=IDS,
    user_id=st.none() | IDS,
    impression_id=st.none() | IDS,
    agent=st.binary(max_size=60).filter(lambda value: value != b"-"),
    referrer=st.binary(max_size=60).filter(lambda value: value != b"-"),
    address=st.ip_addresses().map(str),
    head=st.booleans(),
    status=st.sampled_from([301, 302, 303, 307, 308]),
    escape=st.sampled_from([nginx, httpd]),
    ending=st.sampled_from([b"", b"\n", b"\r\n", b' "10.0.0.1" 0.002\n']),
)
def test_lines_of_any_values_parse_back(
    ts_s: int,
    offset_minutes: int,
    ad_id: str,
    user_id: str | None,
    impression_id: str | None,
    agent: bytes,
    referrer: bytes,
    address: str,
    head: bool,
    status: int,
    escape: Callable[[bytes], bytes],
    ending: bytes,
) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    time = datetime.fromtimestamp(ts_s, UTC).astimezone(zone).strftime("%d/%b/%Y:%H:%M:%S %z")
    values = {"ad_id": ad_id, "user_id": user_id, "impression_id": impression_id}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items() if value is not None)
    request = f"{'HEAD' if head else 'GET'} /click?{query} HTTP/1.1".encode()
    line = b'%b - - [%b] "%b" %d 0 "%b" "%b"%b' % (
        address.encode(), time.encode(), escape(request), status, escape(referrer), escape(agent), ending,
    )  # fmt: skip
    assert parse(line) == ClickRow(ts_s * 1000, ad_id, user_id, impression_id, agent, address, referrer, head)


@pytest.mark.parametrize(
    ("old", "new", "skip"),
    [
        (b"/click?", b"/clicks?", Skip.OTHER_PATH),
        (b"/click?", b"/?", Skip.OTHER_PATH),
        (b"GET /click?ad_id=a&user_id=u HTTP/1.1", b"-", Skip.OTHER_PATH),
        (b"GET /click?ad_id=a&user_id=u HTTP/1.1", b"\\x16\\x03\\x01", Skip.OTHER_PATH),
        (b"GET", b"POST", Skip.OTHER_METHOD),
        (b" 302 ", b" 200 ", Skip.NO_REDIRECT),
        (b" 302 ", b" 304 ", Skip.NO_REDIRECT),
        (b" 302 ", b" 404 ", Skip.NO_REDIRECT),
    ],
)
def test_what_is_no_click_is_skipped_with_a_reason(old: bytes, new: bytes, skip: Skip) -> None:
    assert old in LINE
    assert parse(LINE.replace(old, new)) is skip


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b' "Mozilla/5.0 (X11)"', b"", "not of the combined log format"),
        (b"[10/Oct", b"10/Oct", "not of the combined log format"),
        (b"Oct", b"Okt", "is no time of a log"),
        (b"10/Oct", b"31/Feb", "is no time of a log"),
        (b" +0200", b"", "does not look like"),
        (b"2025", b"2099", "in the future"),
        (b"2025", b"1999", "before 2000"),
        (b"ad_id=a&", b"", "ad_id: is missing"),
        (b"ad_id=a&", b"ad_id=a&ad_id=b&", "ad_id: is given more than once"),
        (b"user_id=u", b"user_id=", "user_id: is empty"),
        (b"user_id=u", b"user_id=%zz", "user_id: has a %"),
    ],
)
def test_a_bad_line_says_why(old: bytes, new: bytes, reason: str) -> None:
    assert old in LINE
    row = parse(LINE.replace(old, new))
    assert isinstance(row, str)
    assert reason in row


def test_a_host_name_tells_no_address() -> None:
    row = parse(LINE.replace(b"192.0.2.7", b"host.example"))
    assert isinstance(row, ClickRow)
    assert row.ip == ""


def test_a_line_that_was_made_to_be_slow_is_not() -> None:
    assert isinstance(parse(b"a b " + b"[10/Oct/2025:13:55:36 +0200] " * 2_000), str)
    assert isinstance(parse(LINE.replace(b'"Mozilla/5.0 (X11)"', b'"' + b'\\"' * 30_000)), str)
