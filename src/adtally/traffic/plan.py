"""A seeded plan of requests: which ad, which person, which browser, and what people and machines do with links.

Everything is decided here, ahead of sending and without a clock, so that a seed gives the same traffic again.
"""

from collections.abc import Sequence
from itertools import accumulate, count
from random import Random
from typing import Final, Literal
from urllib.parse import quote_from_bytes

import msgspec

from adtally.traffic.agents import BOTS, PEOPLE

Kind = Literal["click", "double", "bot", "prefetch", "head", "retry"]
"""Why an attempt is made. `double` is a person's second click, `retry` a client that asks again."""

PERSONAL: Final[frozenset[Kind]] = frozenset({"click", "double", "retry"})
"""Kinds that the counting rules can make a click of; the edge's verdict on the others is never `ok`."""

DOUBLE_GAP_S: Final = (0.05, 0.8)
RETRY_GAP_S: Final = (1.0, 3.0)


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One request, ready to be sent. `truth` is the start of its line in the truth file."""

    kind: Kind
    ad_id: str
    user_id: str
    impression_id: str | None
    request: bytes
    truth: bytes

    def again(self) -> "Attempt":
        """Give the same request as a retry: a new attempt with the same ids."""
        return Attempt(
            "retry",
            self.ad_id,
            self.user_id,
            self.impression_id,
            self.request,
            truth_head("retry", self.ad_id, self.user_id, self.impression_id),
        )


class PlanSettings(msgspec.Struct, frozen=True):
    """What the traffic looks like. Shares are of all attempts, between 0 and 1."""

    seed: int = 1
    rate: float = 1_000.0
    """Attempts per second: turns the gap between a click and its double into a number of attempts."""
    zipf: float = 1.2
    """Exponent of the ads' popularity: the n-th ad gets a share proportional to n ** -zipf."""
    users: int = 5_000_000
    double_share: float = 0.05
    retry_share: float = 0.005
    bot_share: float = 0.02
    prefetch_share: float = 0.005
    head_share: float = 0.005
    impression_share: float = 0.30
    """Of first requests; half of their doubles repeat the impression id, the others come without one."""


class Plan:
    """An endless stream of attempts on `ad_ids`, for a server that is addressed as `host`."""

    def __init__(self, settings: PlanSettings, ad_ids: Sequence[str], host: str) -> None:
        self._settings = settings
        self._ad_ids = ad_ids
        self._ad_weights = list(accumulate(rank**-settings.zipf for rank in range(1, len(ad_ids) + 1)))
        self._queries = [b"/click?ad_id=" + _quoted(ad_id) + b"&user_id=" for ad_id in ad_ids]
        self._random = Random(settings.seed)  # noqa: S311 - traffic, not secrets
        self._people = [_tail(host, agent) for agent, percent in PEOPLE for _ in range(percent)]
        self._bots = [_tail(host, agent) for agent in BOTS]
        # Ids carry the seed: another run is other people, or the 5 minutes of deduplication would join the two.
        self._run = f"{settings.seed & 0xFFFFFFFF:x}"
        self._impressions = count(1)
        self._position = 0
        self._due: dict[int, Attempt] = {}

    def take(self, number: int) -> list[Attempt]:
        """Give the next `number` attempts, in the order in which they are to be sent."""
        chosen = self._random.choices(range(len(self._ad_ids)), cum_weights=self._ad_weights, k=number)
        attempts = []
        for ad in chosen:
            again = self._due.pop(self._position, None)
            attempts.append(self._first(ad) if again is None else again)
            self._position += 1
        return attempts

    def _first(self, ad: int) -> Attempt:
        settings, draw = self._settings, self._random.random
        user = int(draw() * settings.users)
        user_id = f"u{self._run}-{user}"
        share = draw()
        kind: Kind = "click"
        tail = self._people[user % len(self._people)]
        if share < settings.bot_share:
            kind, tail = "bot", self._bots[user % len(self._bots)]
        elif (share := share - settings.bot_share) < settings.prefetch_share:
            kind, tail = "prefetch", tail[:-2] + b"Sec-Purpose: prefetch\r\n\r\n"
        elif share - settings.prefetch_share < settings.head_share:
            kind = "head"
        impression_id = f"i{self._run}-{next(self._impressions)}" if draw() < settings.impression_share else None
        attempt = self._render(kind, ad, user_id, impression_id, tail)
        if kind == "click":
            self._plan_repetition(attempt, ad, tail)
        return attempt

    def _plan_repetition(self, attempt: Attempt, ad: int, tail: bytes) -> None:
        settings, draw = self._settings, self._random.random
        share = draw() * (1 - settings.double_share - settings.retry_share)
        if share < settings.double_share:
            impression_id = attempt.impression_id if draw() < 0.5 else None
            self._put(self._render("double", ad, attempt.user_id, impression_id, tail), DOUBLE_GAP_S)
        elif share - settings.double_share < settings.retry_share:
            self._put(attempt.again(), RETRY_GAP_S)

    def _put(self, attempt: Attempt, gap_s: tuple[float, float]) -> None:
        position = self._position + 1 + int(self._random.uniform(*gap_s) * self._settings.rate)
        while position in self._due:
            position += 1
        self._due[position] = attempt

    def _render(self, kind: Kind, ad: int, user_id: str, impression_id: str | None, tail: bytes) -> Attempt:
        method = b"HEAD " if kind == "head" else b"GET "
        shown = b"" if impression_id is None else b"&impression_id=" + impression_id.encode()
        ad_id = self._ad_ids[ad]
        request = b"".join((method, self._queries[ad], user_id.encode(), shown, tail))
        return Attempt(kind, ad_id, user_id, impression_id, request, truth_head(kind, ad_id, user_id, impression_id))


def truth_head(kind: Kind, ad_id: str, user_id: str, impression_id: str | None) -> bytes:
    """Give the start of an attempt's line in the truth file: an open JSON object that ends with a comma."""
    ad = msgspec.json.encode(ad_id)
    user = msgspec.json.encode(user_id)
    if impression_id is None:
        return b'{"kind":"%b","ad_id":%b,"user_id":%b,' % (kind.encode(), ad, user)
    shown = msgspec.json.encode(impression_id)
    return b'{"kind":"%b","ad_id":%b,"user_id":%b,"impression_id":%b,' % (kind.encode(), ad, user, shown)


def numbered_ads(number: int, prefix: str = "ad_") -> list[str]:
    """Give `prefix` followed by 000001, 000002, ..."""
    return [f"{prefix}{index:06d}" for index in range(1, number + 1)]


def _quoted(text: str) -> bytes:
    return quote_from_bytes(text.encode(), safe="").encode()


def _tail(host: str, agent: str) -> bytes:
    lines = (f" HTTP/1.1\r\nHost: {host}", f"User-Agent: {agent}", "Accept: */*", "", "")
    return "\r\n".join(lines).encode()
