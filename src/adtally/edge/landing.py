"""Landing URLs with their macros, ready to be filled (design section 8)."""

import re
import string
from typing import Final
from urllib.parse import quote

from adtally.counting import click_id

_MACRO: Final = re.compile(r"\{(click_id|ad_id|campaign_id|impression_id|ts)\}")
_SAFE: Final = string.ascii_letters + string.digits + string.punctuation
"""Left alone in the stored URL. All else, above all a line end, is percent-encoded and cannot leave the header line."""


class Landing:
    """An ad's landing URL. `{ts}` is the event's time in epoch milliseconds; `{impression_id}` may be empty."""

    __slots__ = ("_ad_id", "_names", "_texts", "fixed")

    def __init__(self, landing_url: str, ad_id: str, campaign_id: str) -> None:
        known = {"ad_id": ad_id, "campaign_id": campaign_id}
        texts, names = [""], []
        for index, part in enumerate(_MACRO.split(landing_url)):
            if index % 2 == 0:
                texts[-1] += quote(part, safe=_SAFE)
            elif part in known:
                texts[-1] += quote(known[part], safe="")
            else:
                names.append(part)
                texts.append("")
        self._ad_id = ad_id
        self._texts = texts
        self._names = names
        self.fixed: Final = None if names else texts[0].encode("ascii")
        """The whole URL, where nothing is to be filled in."""

    def location(self, user_id: str, impression_id: str | None, ts_ms: int) -> bytes:
        """Give the URL with its macros filled and percent-encoded, as ASCII."""
        if self.fixed is not None:
            return self.fixed
        values = {
            "click_id": click_id(self._ad_id, user_id, impression_id, ts_ms),
            "impression_id": quote(impression_id or "", safe=""),
            "ts": str(ts_ms),
        }
        filled = [self._texts[0]]
        for name, text in zip(self._names, self._texts[1:], strict=True):
            filled += values[name], text
        return "".join(filled).encode("ascii")
