"""What an ad may look like before it is stored (design section 8).

Checked here once, so that the edge can send a stored landing URL on without looking at it again.
"""

import ipaddress
import re
from typing import Final, get_args

from adtally.errors import InvalidValueError
from adtally.registry.port import Ad, AdStatus

ID_BYTES_MAX: Final = 128
NAME_BYTES_MAX: Final = 256
LANDING_URL_BYTES_MAX: Final = 2_048
PORT_MAX: Final = 65_535

MACROS: Final = ("{click_id}", "{ad_id}", "{campaign_id}", "{impression_id}", "{ts}")
"""What an edge fills in, percent-encoded. A macro stands in the path, the query or the fragment."""

STATUSES: Final[tuple[AdStatus, ...]] = get_args(AdStatus)

# Unicode's category Cc: C0, DEL and C1.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MACRO: Final = re.compile("|".join(re.escape(macro) for macro in MACROS))
# Anything that browsers and servers read differently is refused rather than mended: spaces, quotes, backslashes (a
# browser takes them for slashes) and what is not ASCII (RFC 3986, section 2). A host is a name or an address as RFC
# 3986, section 3.2.2 has it, without percent-encoding; `@` cannot occur before the path, so there are no credentials.
_LANDING_URL: Final = re.compile(
    r"[Hh][Tt][Tt][Pp][Ss]?://"
    r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*)|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>(?:[/?#][!#-;=?-\[\]-~]*)?)"
)
YEAR_10000_MS: Final = 253_402_300_800_000
"""No date behind it can be written as RFC 3339."""

_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)
_STRANGE: Final = re.compile(r'[^!-~]|["<>\\]')


def check_ad(ad: Ad) -> None:
    """Raise InvalidValueError, naming the field, if the ad breaks a rule."""
    check_id("ad_id", ad.ad_id)
    check_id("advertiser_id", ad.advertiser_id)
    check_landing_url(ad.landing_url)
    if ad.campaign_id:
        check_id("campaign_id", ad.campaign_id)
    if ad.name:
        _check_text("name", ad.name, NAME_BYTES_MAX)
    if ad.status not in STATUSES:
        raise InvalidValueError("status", f"{ad.status!r} is none of {', '.join(STATUSES)}")


def check_expiry(expires_ms: int | None, now_ms: int) -> None:
    """Raise InvalidValueError unless a key's end, None for no end, lies ahead and before the year 10000."""
    if expires_ms is not None and not now_ms < expires_ms < YEAR_10000_MS:
        raise InvalidValueError("expires_ms", f"{expires_ms} is not between now, {now_ms}, and the year 10000")


def check_id(field: str, value: str) -> None:
    """Raise InvalidValueError unless `value` is 1 to 128 bytes of UTF-8 without control characters."""
    # Nearly every id ends here; an import asks this 20 million times.
    if value.isascii() and value.isprintable() and 0 < len(value) <= ID_BYTES_MAX:
        return
    if not value:
        raise InvalidValueError(field, "is empty")
    _check_text(field, value, ID_BYTES_MAX)


def check_landing_url(url: str) -> None:
    """Raise InvalidValueError unless a person can be sent to `url`.

    It is http or https with a host and without credentials, at most 2,048 bytes of ASCII as RFC 3986 has it. Braces
    hold one of MACROS and nothing else; a literal brace is written %7B or %7D.
    """
    match = _LANDING_URL.fullmatch(url)
    if match is None or len(url) > LANDING_URL_BYTES_MAX:
        raise InvalidValueError("landing_url", _what_is_wrong(url))
    host, port, rest = match.groups()
    if port is not None and int(port) > PORT_MAX:
        raise InvalidValueError("landing_url", f"{port} is no port")
    if host[0] == "[":
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise InvalidValueError("landing_url", f"{host} is no IPv6 address") from None
    if "{" in rest or "}" in rest:
        _check_braces(rest)


def _check_text(field: str, value: str, bytes_max: int) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(field, "is not valid UTF-8") from None
    if size > bytes_max:
        raise InvalidValueError(field, f"has {size} bytes, at most {bytes_max} are allowed")
    if _CONTROL.search(value):
        raise InvalidValueError(field, f"{value!r} holds a control character")


def _check_braces(rest: str) -> None:
    left = _MACRO.sub("", rest)
    if "{" in left or "}" in left:
        found = re.search(r"\{[^{}]*\}|[{}]", left)
        name = found.group() if found else rest
        raise InvalidValueError(
            "landing_url", f"{name} is no macro: known are {', '.join(MACROS)}; a literal brace is written %7B or %7D"
        )


def _what_is_wrong(url: str) -> str:
    """Give the first reason why `url` is refused, most telling first."""
    if not url:
        return "is empty"
    if len(url) > LANDING_URL_BYTES_MAX:
        return f"has {len(url)} characters, at most {LANDING_URL_BYTES_MAX} are allowed"
    if _CONTROL.search(url):
        return f"{url!r} holds a control character"
    strange = _STRANGE.search(url)
    if strange:
        return f"{url!r} holds {strange.group()!r}: percent-encode it (in a host name: write punycode)"
    scheme = _SCHEME.match(url)
    if scheme is None:
        return f"{url!r} begins with neither http:// nor https://"
    authority = re.split(r"[/?#]", url[scheme.end() :], maxsplit=1)[0]
    if "@" in authority:
        return "holds credentials before its host"
    if not authority or authority[0] == ":":
        return f"{url!r} has no host"
    if "{" in authority or "}" in authority:
        return f"{url!r} has a brace in its host: macros may stand in the path, the query and the fragment"
    return f"{authority!r} is no host"
