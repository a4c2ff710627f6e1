"""Makes events of past clicks, judged as an edge would have judged them (design section 3)."""

from hashlib import blake2b
from typing import Final

from adtally.edge.cache import FifoCache
from adtally.edge.clients import Client, Clients, referrer_host
from adtally.edge.verdicts import Agents, judge
from adtally.errors import InvalidValueError
from adtally.event import Event, encode_event
from adtally.history.files import FileIdentity
from adtally.history.rows import ClickRow
from adtally.registry.port import AdReplica, AdTarget

AD_CACHE_ENTRIES: Final = 200_000


class HistoryJudge:
    """Judges the clicks of one file. The ads are those that are registered now."""

    def __init__(self, replica: AdReplica, identity: FileIdentity, counted_agents: tuple[str, ...]) -> None:
        """`counted_agents` as in verdicts.Agents."""
        self._replica: Final = replica
        self._identity: Final = identity
        self._agents: Final = Agents(counted_agents)
        self._clients: Final = Clients(())
        self._ads: FifoCache[str, AdTarget] = FifoCache(AD_CACHE_ENTRIES)

    def event(self, seq: int, row: ClickRow) -> bytes:
        """Give the encoded event of row `seq`. Raises InvalidValueError where an edge would have made none.

        That is for an unknown or archived ad, and for an address that is none. Raises StoreUnavailableError.
        """
        ad = self._ads.get(row.ad_id) or self._find(row.ad_id)
        client = self._client(row.ip) if row.ip else None
        agent = self._agents.known(row.user_agent) or self._agents.read(row.user_agent)
        return encode_event(
            Event(
                edge_id=self._identity.edge_id,
                seq=seq,
                ts_ms=row.ts_ms,
                ad_id=row.ad_id,
                campaign_id=ad.campaign_id,
                advertiser_id=ad.advertiser_id,
                user_id=row.user_id or self._anonymous(seq, client, row.user_agent),
                device=agent.device,
                # Files do not tell what a request was for, so nothing in them is a prefetch.
                verdict=judge(head=row.head, prefetch=False, bot=agent.bot, paused=ad.status == "paused"),
                ip_prefix="" if client is None else client.prefix,
                user_agent=agent.text,
                impression_id=row.impression_id,
                referrer_host=referrer_host(row.referrer) if row.referrer else None,
            )
        )

    def _find(self, ad_id: str) -> AdTarget:
        target = self._replica.find(ad_id)
        if target is None:
            raise InvalidValueError(
                "ad_id", f"no ad {ad_id!r}: register it with `adtally ads import`, and import again"
            )
        if target.status == "archived":
            raise InvalidValueError("ad_id", f"ad {ad_id!r} is archived")
        return self._ads.remember(ad_id, target)

    def _client(self, ip: str) -> Client:
        try:
            return self._clients.peer(ip)
        except ValueError:
            raise InvalidValueError("ip", f"{ip[:45]!r} is no IP address") from None

    def _anonymous(self, seq: int, client: Client | None, user_agent: bytes) -> str:
        """Give a person without an id one of 32 hex digits: the same for the same address and user agent of this file.

        Where the file tells neither, nobody can say who is who, and each row is a person.
        """
        told = f"row {seq}" if client is None and not user_agent else "" if client is None else client.address
        digest = blake2b(told.encode() + b"\0" + user_agent, digest_size=16, key=self._identity.person_key)
        return digest.hexdigest()
