"""What people and machines send: few ads, users and impressions, so that double clicks are frequent."""

import random

from adtally.edge.clicks import Request
from adtally.edge.clients import Client
from adtally.event import Event
from adtally.registry.port import AdStatus, AdTarget

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


STATUSES: tuple[AdStatus, ...] = ("active", "active", "paused", "archived")
RECENT_MAX = 15
IMPORTED_MS = 3 * 3_600_000


class FixedAds:
    """Implements AdReplica over ADS."""

    def find(self, ad_id: str) -> AdTarget | None:
        return ADS.get(ad_id)

    def refresh(self) -> bool:
        return False


class Registry:
    """All that the ads ever were: operators change them, and edges learn of it sooner or later."""

    def __init__(self, rnd: random.Random) -> None:
        self._rnd = rnd
        self.versions: list[dict[str, AdTarget]] = [dict(ADS)]

    def change(self) -> str:
        """Pause an ad, archive it, set it going, move it to another campaign, or add one."""
        rnd, ads = self._rnd, dict(self.versions[-1])
        ad_id = rnd.choice([*ads, f"ad-{len(self.versions)}"])
        campaign = rnd.choice(["1", "2"])
        status: AdStatus = rnd.choice(STATUSES)
        ads[ad_id] = AdTarget(f"campaign-{campaign}", f"advertiser-{campaign}", "https://shop.example/", status)
        self.versions.append(ads)
        return f"{ad_id} is {status} in campaign-{campaign}"

    def some_version(self) -> int:
        """Give one of the last versions: a restart may begin with an old one."""
        return max(0, len(self.versions) - self._rnd.randint(1, 4))


class ChangingAds:
    """Implements AdReplica: one edge's copy of the registry, which may be old."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._version = registry.some_version()

    def find(self, ad_id: str) -> AdTarget | None:
        return self._registry.versions[self._version].get(ad_id)

    def refresh(self) -> bool:
        before, self._version = self._version, max(self._version, self._registry.some_version())
        return self._version > before


def imported(rnd: random.Random, edge_id: str, now_ms: int) -> list[Event]:
    """Give some clicks of the hours before now, in no order of time."""
    return [
        Event(
            edge_id=edge_id,
            seq=number + 1,
            ts_ms=now_ms - rnd.randrange(IMPORTED_MS),
            ad_id=rnd.choice("ab"),
            campaign_id="campaign-1",
            advertiser_id="advertiser-1",
            user_id=rnd.choice("uvw"),
            device="mobile",
            verdict=rnd.choice(["ok", "ok", "ok", "bot"]),
            ip_prefix="",
            user_agent="",
            impression_id=rnd.choice([None, "i1"]),
        )
        for number in range(rnd.randint(1, 6))
    ]


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
