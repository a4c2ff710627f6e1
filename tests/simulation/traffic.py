"""What people and machines send: few ads, users and impressions, so that double clicks are frequent."""

import random

from adtally.edge.clicks import Request
from adtally.edge.clients import Client
from adtally.registry.port import AdTarget

ADS = {
    "a": AdTarget("campaign-1", "advertiser-1", "https://shop.example/?c={click_id}", "active"),
    "b": AdTarget("campaign-2", "advertiser-2", "https://shop.example/b", "active"),
    "rest": AdTarget("campaign-2", "advertiser-2", "https://shop.example/rest", "paused"),
    "gone": AdTarget("campaign-1", "advertiser-1", "https://shop.example/gone", "archived"),
}
AGENTS = (
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0.0.0 Safari/537.36",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    b"Googlebot/2.1 (+http://www.google.com/bot.html)",
)


RECENT_MAX = 15


class FixedAds:
    """Implements AdReplica over ADS."""

    def find(self, ad_id: str) -> AdTarget | None:
        return ADS.get(ad_id)

    def refresh(self) -> bool:
        return False


class Crowd:
    """Sends requests, and often one of the last ones again: to the same edge or to another one."""

    def __init__(self, rnd: random.Random) -> None:
        self._rnd = rnd
        self._recent: list[Request] = []

    def request(self) -> Request:
        """Give the next request."""
        if self._recent and self._rnd.random() < 0.5:
            return self._rnd.choice(self._recent)
        request = self._new()
        self._recent = [*self._recent[-RECENT_MAX:], request]
        return request

    def _new(self) -> Request:
        rnd = self._rnd
        query = f"ad_id={rnd.choice(['a', 'b'] * 5 + ['rest', 'gone', 'unknown'])}"
        user = rnd.choice(["u", "u", "v", "v", "w", None])
        impression = rnd.choice([None, "i1", "i2"])
        query += f"&user_id={user}" if user else ""
        query += f"&impression_id={impression}" if impression else ""
        headers = {b"user-agent": rnd.choice(AGENTS[:2]) if rnd.random() < 0.9 else AGENTS[2]}
        if rnd.random() < 0.05:
            headers[b"purpose"] = b"prefetch"
        method = b"HEAD" if rnd.random() < 0.05 else b"GET"
        peer = Client(f"203.0.113.{rnd.randrange(3)}", "203.0.113.0/24", loopback=False, trusted=False)
        return Request(method, b"/click", query.encode(), headers, peer, body=False)
