"""From a request to what is to be kept and where to send the person: no input or output happens here."""

from collections.abc import Mapping
from typing import Final

import msgspec

from adtally.edge.cache import FifoCache
from adtally.edge.clients import Client, Clients, referrer_host
from adtally.edge.cookies import NewUsers, cookie_user
from adtally.edge.identity import Identity
from adtally.edge.landing import Landing
from adtally.edge.lines import ad_part, json_text, optional_part
from adtally.edge.query import UsualValues, parse_click_query, usual_values
from adtally.edge.verdicts import PURPOSE, Agents, is_prefetch, judge
from adtally.event import Verdict
from adtally.registry.port import AdReplica


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request whose head was found well-formed. Header names are lower case."""

    method: bytes
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]
    peer: Client
    body: bool
    """Whether a body follows, which nothing here takes."""
    usual: UsualValues | None = None
    """Where the query was found to be a usual one already: its values, as `usual_values` gives them."""


class CachedAd(msgspec.Struct, frozen=True):
    """An ad that may be clicked."""

    part: str
    """What an event's line says of it."""
    paused: bool
    landing: Landing


class Redirect(msgspec.Struct, frozen=True, gc=False):
    """A decision: the event to keep, and the header lines of the 302 from the Location's value on."""

    encoded: bytes
    seq: int
    verdict: Verdict
    location_and_more: bytes


class ClickJudge:
    """Decides about clicks. Knows ads, user agents and recent people from bounded caches."""

    def __init__(
        self,
        replica: AdReplica,
        clients: Clients,
        users: NewUsers,
        ad_cache_entries: int,
        *,
        event_header: bool,
        counted_agents: tuple[str, ...] = (),
    ) -> None:
        self._replica: Final = replica
        self._clients: Final = clients
        self._users: Final = users
        self._agents: Final = Agents(counted_agents)
        self._known_agent: Final = self._agents.known
        self._event_header: Final = event_header
        self._ads: FifoCache[str, CachedAd] = FifoCache(ad_cache_entries)
        self._known_ad: Final = self._ads.get

    def refresh(self) -> None:
        """Take note of changed ads; to be called several times a second."""
        if self._replica.refresh():
            self._ads.clear()

    def decide(self, request: Request, identity: Identity) -> Redirect | None:
        """Judge a click and number it, None for an unknown or archived ad, which makes no event.

        `identity` has observed the clock. Raises InvalidValueError for parameters that break a rule.
        """
        headers = request.headers
        usual = request.usual or usual_values(request.query)
        if usual is not None:
            ad_id, user_id, impression_id = usual
            quoted_user = f'"{user_id}"'
        else:
            params = parse_click_query(request.query)
            ad_id, user_id, impression_id = params.ad_id, params.user_id, params.impression_id
            quoted_user = "" if user_id is None else json_text(user_id)
        ad = self._known_ad(ad_id) or self._find(ad_id)
        if ad is None:
            return None
        user_agent = headers.get(b"user-agent", b"")
        agent = self._known_agent(user_agent) or self._agents.read(user_agent)
        client = request.peer
        if client.trusted:
            client = self._clients.behind(client, headers.get(b"x-forwarded-for"))
        ts_ms = identity.ts_ms
        more = b""
        if user_id is None:
            user_id = cookie_user(headers.get(b"cookie", b""))
            if user_id is None:
                user_id = self._users.user_for(ad_id, client.address, user_agent, ts_ms)
                more = self._users.set_cookie_line(user_id)
            quoted_user = f'"{user_id}"'
        optional = ""
        verdict: Verdict = "ok"
        if impression_id is not None or b"referer" in headers:
            optional = optional_part(impression_id, referrer_host(headers.get(b"referer", b"")))
        if agent.bot or ad.paused or PURPOSE in headers or request.method == b"HEAD":
            prefetch = is_prefetch(headers.get(PURPOSE, b""))
            verdict = judge(head=request.method == b"HEAD", prefetch=prefetch, bot=agent.bot, paused=ad.paused)
        seq = identity.number()
        # Event's fields in their order.
        line = (
            f'{{"edge_id":"{identity.edge_id}","seq":{seq},"ts_ms":{ts_ms},{ad.part},"user_id":{quoted_user},'
            f'"device":"{agent.device}","verdict":"{verdict}","ip_prefix":"{client.prefix}",'
            f'"user_agent":{agent.quoted}{optional}}}'
        )
        if self._event_header:
            more += b"X-Click-Event: %b.%d.%d\r\n" % (identity.edge_id.encode("ascii"), seq, ts_ms)
        location = ad.landing.fixed or ad.landing.location(user_id, impression_id, ts_ms)
        return Redirect(line.encode(), seq, verdict, b"%b\r\n%b" % (location, more))

    def _find(self, ad_id: str) -> CachedAd | None:
        # Unknown ads are not remembered: whoever asks for many would push the known ones out.
        target = self._replica.find(ad_id)
        if target is None or target.status == "archived":
            return None
        landing = Landing(target.landing_url, ad_id, target.campaign_id)
        part = ad_part(ad_id, target.campaign_id, target.advertiser_id)
        paused = target.status == "paused"
        return self._ads.remember(ad_id, CachedAd(part, paused, landing))
