"""The pure parts of judging: crawlers, devices, addresses, referrers, cookies, landing URLs, identity."""

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA, is_crawler
from hypothesis import given
from hypothesis import strategies as st

from adtally.edge.clients import Clients, referrer_host
from adtally.edge.cookies import NewUsers, cookie_user
from adtally.edge.crawlers import Crawlers
from adtally.edge.identity import Identity
from adtally.edge.landing import Landing
from adtally.edge.query import _parse_pairs, parse_click_query
from adtally.edge.verdicts import AGENT_CACHE_ENTRIES, Agents, device_of
from adtally.errors import ConfigError, InvalidValueError
from adtally.event import Closing, Heartbeat, Opening

CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36"
PEOPLE = {
    WINDOWS: "desktop",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15": "desktop",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0": "desktop",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36": "desktop",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148": "mobile",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {CHROME} Mobile Safari/537.36": "mobile",
    f"Mozilla/5.0 (Linux; Android 14; SM-X710) {CHROME} Safari/537.36": "tablet",
    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148": "tablet",
    "Mozilla/5.0 (PlayStation 5 3.11)": "other",
    "": "other",
}
CRAWLERS = Crawlers()


def test_crawlers_are_those_of_the_kept_list() -> None:
    instances = [instance for entry in CRAWLER_USER_AGENTS_DATA for instance in entry["instances"]]

    assert len(instances) > 1_000
    assert [agent for agent in [*instances, *PEOPLE] if CRAWLERS.match(agent) != is_crawler(agent)] == []
    assert not any(map(CRAWLERS.match, PEOPLE))


@given(st.sampled_from(CRAWLER_USER_AGENTS_DATA), st.text(max_size=20), st.text(max_size=20), st.integers(0, 40))
def test_crawlers_are_found_wherever_their_words_stand(
    entry: dict[str, str], before: str, after: str, cut: int
) -> None:
    text = before + entry["pattern"].replace("\\", "")[:cut] + after
    assert CRAWLERS.match(text) == is_crawler(text)


@pytest.mark.parametrize("user_agent", PEOPLE)
def test_a_device_is_told_by_its_user_agent(user_agent: str) -> None:
    assert device_of(user_agent) == PEOPLE[user_agent]


def test_what_is_remembered_about_user_agents_is_bounded() -> None:
    agents = Agents(counted=("curl/",))
    assert not agents.read(b"curl/8.5.0").bot
    assert Agents().read(b"curl/8.5.0").bot
    for number in range(AGENT_CACHE_ENTRIES + 10):
        agents.read(b"%d" % number)
    assert len(agents._known) == AGENT_CACHE_ENTRIES
    assert agents.read(WINDOWS.encode()) is agents.read(WINDOWS.encode())


@pytest.mark.parametrize(
    ("host", "prefix"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::1", "::/48"),
    ],
)
def test_of_an_address_only_its_network_is_kept(host: str, prefix: str) -> None:
    client = Clients([]).peer(host)
    assert client.prefix == prefix
    assert host not in repr(client)


@pytest.mark.parametrize(
    ("forwarded", "prefix"),
    [
        (b"203.0.113.7", "203.0.113.0/24"),
        (b"198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.0/24"),
        (b"203.0.113.7:4711, 10.0.0.2:80", "203.0.113.0/24"),
        (b"[2001:db8::1]:443", "2001:db8::/48"),
        (b"203.0.113.7, unknown, 10.0.0.2", "10.0.0.0/24"),
        (b"203.0.113.7, \xff", "10.0.0.0/24"),
        (b"", "10.0.0.0/24"),
        (b"10.0.0.3, 10.0.1.2", "10.0.0.0/24"),
    ],
)
def test_the_right_most_address_that_is_no_trusted_proxy_is_the_client(forwarded: bytes, prefix: str) -> None:
    clients = Clients(["10.0.0.0/8"])
    assert clients.behind(clients.peer("10.0.0.1"), forwarded).prefix == prefix
    stranger = clients.peer("192.0.2.1")
    assert clients.behind(stranger, forwarded) is stranger


def test_a_wrong_network_among_the_trusted_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="trusted_proxies"):
        Clients(["10.0.0.1/8"])


@pytest.mark.parametrize(
    ("referer", "host"),
    [
        (b"https://News.Example/a?b=c", "news.example"),
        (b"http://news.example:8080", "news.example"),
        (b"https://user:secret@news.example/", "news.example"),
        (b"https://[2001:DB8::1]:443/x", "[2001:db8::1]"),
        (b"https://news.example?x", "news.example"),
        (b"android-app://com.example", None),
        (b"https://", None),
        (b"https://" + b"a" * 300 + b"/", None),
        (b"https://b\xc3\xbccher.example/", None),
        (b"about:blank", None),
        (b"", None),
    ],
)
def test_of_a_referer_only_its_host_is_kept(referer: bytes, host: str | None) -> None:
    assert referrer_host(referer) == host


def test_a_new_user_is_the_same_for_two_seconds_and_not_longer() -> None:
    users = NewUsers(secure=False)
    first = users.user_for("ad", "192.0.2.1", b"agent", 10_000)
    assert users.user_for("ad", "192.0.2.1", b"agent", 11_999) == first
    second = users.user_for("ad", "192.0.2.1", b"agent", 12_000)
    assert second != first
    assert users.user_for("ad", "192.0.2.1", b"agent", 13_999) == second
    assert users.user_for("ad", "192.0.2.1", b"agent", 9_000) != second


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"adt_uid=" + b"a1" * 16, True),
        (b"x=y; adt_uid=" + b"a1" * 16 + b"; z=1", True),
        (b"x=y;adt_uid=" + b"a1" * 16, True),
        (b"xadt_uid=" + b"a1" * 16, False),
        (b"adt_uid=" + b"A1" * 16, False),
        (b"adt_uid=" + b"a1" * 17, False),
        (b"adt_uid=", False),
    ],
)
def test_our_cookie_is_found_among_others(header: bytes, found: bool) -> None:
    assert cookie_user(header) == ("a1" * 16 if found else None)


IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


@given(IDS, IDS, IDS, IDS)
def test_whatever_the_ids_a_landing_url_is_ascii_and_gives_them_back(
    ad_id: str, campaign_id: str, user_id: str, impression_id: str
) -> None:
    url = "https://shop.example/{ad_id}?c={campaign_id}&i={impression_id}&t={ts}&k={click_id}&x={other}"
    location = Landing(url, ad_id, campaign_id).location(user_id, impression_id, 1_795_000_000_123).decode("ascii")

    parts = urlsplit(location)
    assert parts.netloc == "shop.example"
    assert parts.path == f"/{quote(ad_id, safe='')}"
    values = parse_qs(parts.query, strict_parsing=True)
    assert (values["c"], values["i"], values["t"]) == ([campaign_id], [impression_id], ["1795000000123"])
    assert len(values["k"][0]) == 32
    assert values["x"] == ["{other}"]


def test_a_stored_landing_url_cannot_end_the_header_line() -> None:
    assert Landing("https://x.example/\r\nSet-Cookie: a=b ü", "a", "").location("u", None, 1) == (
        b"https://x.example/%0D%0ASet-Cookie:%20a=b%20%C3%BC"
    )
    assert Landing("https://x.example/?i={impression_id}", "a", "").location("u", None, 1) == b"https://x.example/?i="


@given(st.binary(max_size=60))
def test_any_query_is_parsed_within_the_limits_or_refused(query: bytes) -> None:
    try:
        params = parse_click_query(b"ad_id=" + query)
    except InvalidValueError:
        return
    assert 1 <= len(params.ad_id.encode()) <= 128


@given(st.lists(st.sampled_from([b"ad_id=", b"user_id=", b"impression_id=", b"a-1", b"_.~", b"&", b"x" * 128])))
def test_a_usual_query_is_parsed_like_any_other(pieces: list[bytes]) -> None:
    query = b"ad_id=a" + b"".join(pieces)
    try:
        expected = _parse_pairs(query)
    except InvalidValueError:
        with pytest.raises(InvalidValueError):
            parse_click_query(query)
    else:
        assert parse_click_query(query) == expected


def test_time_stands_still_while_the_clock_is_a_little_behind() -> None:
    identity = Identity("e", 10_000)
    assert identity.observe(9_000) is None
    assert identity.ts_ms == 10_000
    assert identity.observe(10_001) is None
    assert identity.number() == 1
    assert identity.heartbeat() == Heartbeat("e", 1, 10_001)


def test_a_clock_far_behind_ends_the_edge_id() -> None:
    identity = Identity("e", 10_000)
    identity.number()
    jumped = identity.observe(8_999)
    assert jumped == (Closing("e", 1, 10_000), Opening(identity.edge_id, 8_999))
    assert identity.edge_id != "e"
    assert identity.number() == 1
