"""The parameters of `/click`, parsed strictly: what is not certainly right is refused (design section 8)."""

import re
from typing import Final, cast
from urllib.parse import unquote_to_bytes

import msgspec

from adtally.errors import InvalidValueError

ID_BYTES_MAX: Final = 128

UsualValues = tuple[str, str | None, str | None]

_FIELDS: Final = {b"ad_id": "ad_id", b"user_id": "user_id", b"impression_id": "impression_id"}
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ID: Final = rf"([A-Za-z0-9_.~-]{{1,{ID_BYTES_MAX}}})"
USUAL_QUERY: Final = f"ad_id={_ID}(?:&user_id={_ID})?(?:&impression_id={_ID})?"
"""Links as they are mostly made: nothing is encoded, so nothing can be wrong, neither here nor in JSON.

For a query as Latin-1 text, so that the groups are the three values as they are kept.
"""
_match_usual: Final = re.compile(USUAL_QUERY).fullmatch
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


class ClickParams(msgspec.Struct, frozen=True, gc=False):
    """What a click says about itself. Each value has 1 to 128 bytes of UTF-8 and no control characters."""

    ad_id: str
    user_id: str | None
    impression_id: str | None


def usual_values(query: bytes) -> UsualValues | None:
    """Give ad_id, user_id and impression_id of a usual query, which are safe in JSON as they are; None of others."""
    match = _match_usual(query.decode("latin-1"))
    return None if match is None else cast("UsualValues", match.groups())


def parse_click_query(query: bytes) -> ClickParams:
    """Parse what stands after the `?`, as the URL standard's form encoding: `+` is a space.

    Unknown parameters are ignored. Raises InvalidValueError for a missing `ad_id`, and for a known parameter that is
    repeated, empty, longer than 128 bytes, wrongly encoded, or holds control characters.
    """
    usual = usual_values(query)
    return ClickParams(*usual) if usual is not None else _parse_pairs(query)


def _parse_pairs(query: bytes) -> ClickParams:
    found: dict[str, str] = {}
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        field = _FIELDS.get(name)
        if field is None:
            # A name may be percent-encoded too, and must not smuggle in a second ad_id.
            if b"%" not in name:
                continue
            field = _FIELDS.get(unquote_to_bytes(name))
            if field is None:
                continue
        if field in found:
            raise InvalidValueError(field, "is given more than once")
        found[field] = _decode(field, value)
    if "ad_id" not in found:
        raise InvalidValueError("ad_id", "is missing")
    return ClickParams(found["ad_id"], found.get("user_id"), found.get("impression_id"))


def _decode(field: str, value: bytes) -> str:
    if b"%" in value or b"+" in value:
        if _BAD_ESCAPE.search(value):
            raise InvalidValueError(field, "has a % that is not followed by two hex digits")
        value = unquote_to_bytes(value.replace(b"+", b" "))
    if not value:
        raise InvalidValueError(field, "is empty")
    if len(value) > ID_BYTES_MAX:
        raise InvalidValueError(field, f"has {len(value)} bytes, more than {ID_BYTES_MAX}")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise InvalidValueError(field, "is not valid UTF-8") from None
    # Nearly all values are printable, and asking that is much faster than a regular expression.
    if not text.isprintable() and _CONTROL.search(text):
        raise InvalidValueError(field, "has a control character")
    return text
