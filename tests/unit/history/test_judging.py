"""Past clicks are judged as an edge would have judged them."""

import pytest

from adtally.errors import InvalidValueError
from adtally.event import Event, decode_event
from adtally.history.files import FileIdentity
from adtally.history.judging import HistoryJudge
from adtally.history.rows import ClickRow
from adtally.registry.port import AdStatus, AdTarget

FIREFOX = b"Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"


class Ads:
    def __init__(self) -> None:
        self.known: dict[str, AdStatus] = {"a": "active", "p": "paused", "x": "archived"}

    def find(self, ad_id: str) -> AdTarget | None:
        status = self.known.get(ad_id)
        return None if status is None else AdTarget("cmp", "adv", "https://shop.example/", status)

    def refresh(self) -> bool:
        return False


def judge(person_key: bytes = b"k") -> HistoryJudge:
    return HistoryJudge(Ads(), FileIdentity("import-1", person_key, 0, 0), ("curl/",))


def event(row: ClickRow, seq: int = 7) -> Event:
    return decode_event(judge().event(seq, row))


def click(
    ad_id: str = "a", user_id: str | None = "u", agent: bytes = FIREFOX, ip: str = "192.0.2.77", *, head: bool = False
) -> ClickRow:
    return ClickRow(1_700_000_000_123, ad_id, user_id, "i", agent, ip, b"https://News.example/p?q=secret", head)


def test_an_event_holds_what_an_edge_would_have_kept_and_nothing_more() -> None:
    assert event(click()) == Event(
        edge_id="import-1",
        seq=7,
        ts_ms=1_700_000_000_123,
        ad_id="a",
        campaign_id="cmp",
        advertiser_id="adv",
        user_id="u",
        device="desktop",
        verdict="ok",
        ip_prefix="192.0.2.0/24",
        user_agent=FIREFOX.decode(),
        impression_id="i",
        referrer_host="news.example",
    )


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (click(), "ok"),
        (click("p"), "paused_ad"),
        (click(agent=b"Googlebot/2.1"), "bot"),
        (click("p", agent=b"Googlebot/2.1"), "bot"),
        (click(agent=b"curl/8.5.0"), "ok"),
        (click(agent=b""), "ok"),
        (click("p", agent=b"Googlebot/2.1", head=True), "head"),
    ],
)
def test_the_verdict_is_the_edges(row: ClickRow, verdict: str) -> None:
    assert event(row).verdict == verdict


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (click("nope"), "ad_id: no ad 'nope'"),
        (click("x"), "ad_id: ad 'x' is archived"),
        (click(ip="300.1.1.1"), "ip: '300.1.1.1' is no IP address"),
        (click(ip="192.0.2.0/24"), "is no IP address"),
    ],
)
def test_where_an_edge_would_have_made_no_event_there_is_none(row: ClickRow, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        event(row)


@pytest.mark.parametrize(
    ("ip", "prefix"), [("", ""), ("2001:db8:1:2::3", "2001:db8:1::/48"), ("::ffff:192.0.2.9", "192.0.2.0/24")]
)
def test_only_the_network_of_an_address_is_kept(ip: str, prefix: str) -> None:
    assert event(click(ip=ip)).ip_prefix == prefix


def test_anonymous_people_are_told_apart_by_address_and_agent_and_stay_the_same() -> None:
    rows = [
        click(user_id=None),
        click(user_id=None, ip="192.0.2.78"),
        click(user_id=None, agent=b"Other"),
        click(user_id=None, ip=""),
    ]
    people = [event(row).user_id for row in rows]
    assert len(set(people)) == 4
    assert [event(row, seq=99).user_id for row in rows] == people
    assert event(click("p", user_id=None)).user_id == people[0]


def test_where_a_file_tells_nothing_of_people_each_row_is_one() -> None:
    row = click(user_id=None, ip="", agent=b"")
    assert event(row, 1).user_id != event(row, 2).user_id
    assert event(row, 1).user_id == event(row, 1).user_id


def test_an_anonymous_id_cannot_be_guessed_without_the_file() -> None:
    row = click(user_id=None)
    ids = {decode_event(judge(key).event(1, row)).user_id for key in (b"one file", b"another")}
    assert len(ids) == 2
