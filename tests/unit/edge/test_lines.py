"""An event's line in the log is what `encode_event` would have made of it, however strange its parts are."""

from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st

from adtally.edge.clicks import ClickJudge, Request
from adtally.edge.clients import Clients, referrer_host
from adtally.edge.cookies import NewUsers
from adtally.edge.identity import Identity, new_edge_id
from adtally.edge.verdicts import Agents
from adtally.event import Event, encode_event
from adtally.registry.port import AdTarget

AGENTS = Agents()
CLIENTS = Clients(["10.0.0.0/8"])
SAFE = "ABCxyz0129_.~-"
IDS = st.one_of(
    st.text(SAFE, min_size=1, max_size=128),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20),
)
HEADERS = st.dictionaries(
    st.sampled_from([b"user-agent", b"referer", b"purpose", b"cookie", b"x-forwarded-for"]),
    st.one_of(
        st.binary(max_size=600),
        st.sampled_from(
            [b"https://news.example/a?b", b"adt_uid=" + b"0f" * 16, b"prefetch", b"Googlebot/2.1", b'"\\', b"192.0.2.7"]
        ),
    ),
)


class OneAd:
    def __init__(self, target: AdTarget) -> None:
        self.target = target

    def find(self, ad_id: str) -> AdTarget | None:
        return self.target

    def refresh(self) -> bool:
        return False


@given(
    ad_id=IDS,
    user_id=st.none() | IDS,
    impression_id=st.none() | IDS,
    owner=IDS,
    headers=HEADERS,
    peer=st.sampled_from(["127.0.0.1", "10.1.2.3", "2001:db8::7"]),
    method=st.sampled_from([b"GET", b"HEAD"]),
    paused=st.booleans(),
)
@example("a", 'u"\\', "é\u2028/", 'o"', {b"user-agent": b'"\\\x7f\x01\xff\xc3\xa9'}, "127.0.0.1", b"GET", True)
def test_a_line_is_byte_for_byte_the_encoded_event(
    ad_id: str,
    user_id: str | None,
    impression_id: str | None,
    owner: str,
    headers: dict[bytes, bytes],
    peer: str,
    method: bytes,
    paused: bool,
) -> None:
    values = {"ad_id": ad_id, "user_id": user_id, "impression_id": impression_id}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items() if value is not None)
    target = AdTarget(owner, owner * 2, "https://shop.example/", "paused" if paused else "active")
    identity = Identity(new_edge_id(), 1_795_000_000_000)
    judge = ClickJudge(OneAd(target), CLIENTS, NewUsers(secure=False), 10, event_header=False)
    request = Request(method, b"/click", query.encode(), headers, CLIENTS.peer(peer), body=False)

    for seq in (1, 2):
        redirect = judge.decide(request, identity)

        assert redirect is not None
        agent = AGENTS.read(headers.get(b"user-agent", b""))
        client = CLIENTS.behind(CLIENTS.peer(peer), headers.get(b"x-forwarded-for"))
        if user_id is None:
            # A new person's id, which only the answer tells; without a cookie the second click gets the same.
            at = redirect.encoded.index(b'"user_id":"') + len(b'"user_id":"')
            user_id = redirect.encoded[at : at + 32].decode()
        referer = headers.get(b"referer")
        event = Event(
            edge_id=identity.edge_id,
            seq=seq,
            ts_ms=identity.ts_ms,
            ad_id=ad_id,
            campaign_id=owner,
            advertiser_id=owner * 2,
            user_id=user_id,
            device=agent.device,
            verdict=redirect.verdict,
            ip_prefix=client.prefix,
            user_agent=agent.text,
            impression_id=impression_id,
            referrer_host=None if referer is None else referrer_host(referer),
        )
        assert redirect.encoded == encode_event(event)
