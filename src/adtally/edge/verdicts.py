"""What a request is: a person's click, or something else that is kept but never counted (design section 3)."""

import re
from typing import Final

import msgspec

from adtally.edge.cache import FifoCache
from adtally.edge.crawlers import Crawlers
from adtally.edge.lines import json_text
from adtally.event import Device, Verdict

USER_AGENT_BYTES_MAX: Final = 512
AGENT_CACHE_ENTRIES: Final = 8_192

PURPOSE: Final = b"purpose"
"""Under this name a request keeps all of PREFETCH_HEADERS."""
PREFETCH_HEADERS: Final = (b"purpose", b"sec-purpose", b"x-moz", b"x-purpose")
_PREFETCH: Final = re.compile(rb"prefetch|prerender|preview|instant", re.IGNORECASE)

# In this order: a tablet's user agent may name a phone's system, and a phone's a desktop's.
_TABLET: Final = re.compile(r"iPad|Tablet|PlayBook|Kindle|Silk/(?!.*Mobile)|Android(?!.*Mobi)")
_MOBILE: Final = re.compile(r"Mobi|iPhone|iPod|Android|Windows Phone|BlackBerry|Opera Mini")
_DESKTOP: Final = re.compile(r"Windows|Macintosh|X11|CrOS|Linux")


class Agent(msgspec.Struct, frozen=True, gc=False):
    """What a user agent tells: its text as it is stored, at most 512 bytes, and what kind of thing sent it."""

    text: str
    bot: bool
    device: Device
    quoted: str
    """The text as a JSON string."""


class Agents:
    """Reads user agents, and remembers what it read: people share theirs."""

    def __init__(self, counted: tuple[str, ...] = ()) -> None:
        """`counted` are starts of user agents that are no bots whatever the list says."""
        self._crawlers = Crawlers()
        self._counted = counted
        self._known: FifoCache[bytes, Agent] = FifoCache(AGENT_CACHE_ENTRIES)
        self.known: Final = self._known.get
        """Give what is known of a User-Agent header, None where `read` must be asked."""

    def read(self, user_agent: bytes) -> Agent:
        """Read a User-Agent header; empty where there was none."""
        key = user_agent[:USER_AGENT_BYTES_MAX]
        return self._known.get(key) or self._known.remember(key, self._read(key))

    def _read(self, user_agent: bytes) -> Agent:
        text = user_agent.decode("utf-8", "ignore")
        bot = not text.startswith(self._counted) and self._crawlers.match(text)
        return Agent(text, bot, "bot" if bot else device_of(text), json_text(text))


def device_of(user_agent: str) -> Device:
    """Tell a person's device by the words that browsers put into their user agents (MDN, "Browser detection")."""
    if _TABLET.search(user_agent):
        return "tablet"
    if _MOBILE.search(user_agent):
        return "mobile"
    return "desktop" if _DESKTOP.search(user_agent) else "other"


def is_prefetch(purpose: bytes) -> bool:
    """Tell by its purpose whether a browser fetched ahead of its person (Sec-Purpose: Fetch standard)."""
    return _PREFETCH.search(purpose) is not None


def judge(*, head: bool, prefetch: bool, bot: bool, paused: bool) -> Verdict:
    """Give the one verdict of a request: how it asked comes before who asked, and that before what was asked for."""
    if head:
        return "head"
    if prefetch:
        return "prefetch"
    if bot:
        return "bot"
    return "paused_ad" if paused else "ok"
