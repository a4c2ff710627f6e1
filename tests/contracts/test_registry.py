"""What every registry promises (registry/port.py)."""

from collections.abc import Callable, Iterator
from threading import Barrier, Thread

import msgspec
import pytest

from adtally.errors import InvalidValueError, NotFoundError
from adtally.registry import keys
from adtally.registry.port import Ad, Advertiser, Campaign, FoundAds, RefusedAdsError, Registry, UpsertResult
from adtally.registry.sql import SqlRegistry
from support.databases import postgres_url, sqlite_file

Opened = Callable[[], Registry]
"""Opens the same registry anew, as another process would."""


def sqlite(request: pytest.FixtureRequest) -> Opened:
    file = sqlite_file(request)
    return lambda: SqlRegistry.open(file)


def postgres(request: pytest.FixtureRequest) -> Opened:
    url = postgres_url(request)
    return lambda: SqlRegistry.open(url)


@pytest.fixture(params=[sqlite, pytest.param(postgres, marks=pytest.mark.servers)])
def reopen(request: pytest.FixtureRequest) -> Iterator[Opened]:
    opened: list[Registry] = []
    make = request.param(request)

    def open_again() -> Registry:
        opened.append(make())
        return opened[-1]

    yield open_again
    for registry in opened:
        registry.close()


@pytest.fixture
def registry(reopen: Opened) -> Registry:
    return reopen()


def ad(ad_id: str, **fields: str) -> Ad:
    given = {"advertiser_id": "acme", "landing_url": "https://acme.example/", **fields}
    return msgspec.convert({"ad_id": ad_id, **given}, Ad)


def test_an_ad_is_given_back_as_it_was_stored(registry: Registry, reopen: Opened) -> None:
    stored = ad("ad_1", campaign_id="spring", name="Schuhe, \U0001f45f", status="paused")
    registry.upsert_ads([stored])
    assert registry.ad("ad_1") == stored
    assert reopen().ad("ad_1") == stored


def test_upsert_tells_new_changed_and_unchanged_ads(registry: Registry) -> None:
    assert registry.upsert_ads([ad("a"), ad("b"), ad("c")]) == UpsertResult(3, 0, 0)
    assert registry.upsert_ads([ad("a"), ad("b", name="new"), ad("d")]) == UpsertResult(1, 1, 1)
    assert registry.ad("b").name == "new"
    assert registry.count_ads() == 4


def test_of_one_ad_twice_in_a_batch_the_last_is_stored(registry: Registry) -> None:
    assert registry.upsert_ads([ad("a", name="first"), ad("a", name="last")]) == UpsertResult(1, 1, 0)
    assert registry.ad("a").name == "last"


def test_everything_but_the_advertiser_may_change(registry: Registry) -> None:
    registry.upsert_ads([ad("a", campaign_id="spring")])
    changed = ad("a", campaign_id="autumn", name="n", status="archived", landing_url="http://other.example/")
    registry.upsert_ads([changed])
    assert registry.ad("a") == changed


def test_an_ad_keeps_its_advertiser_and_nothing_of_the_batch_is_stored(registry: Registry) -> None:
    registry.upsert_ads([ad("a"), ad("b")])
    with pytest.raises(RefusedAdsError, match="'b' belongs to advertiser 'acme'") as caught:
        registry.upsert_ads([ad("new"), ad("b", advertiser_id="globex"), ad("a", advertiser_id="globex")])
    assert [refused.index for refused in caught.value.refused] == [1, 2]
    assert registry.count_ads() == 2
    assert registry.advertisers("", 10) == [Advertiser("acme", "")]


def test_a_campaign_keeps_its_advertiser(registry: Registry) -> None:
    registry.upsert_ads([ad("a", campaign_id="spring")])
    with pytest.raises(RefusedAdsError, match="campaign 'spring' belongs to advertiser 'acme'"):
        registry.upsert_ads([ad("b", campaign_id="spring", advertiser_id="globex")])


def test_a_campaign_keeps_its_advertiser_within_one_batch(registry: Registry) -> None:
    with pytest.raises(RefusedAdsError) as caught:
        registry.upsert_ads([ad("a", campaign_id="s"), ad("b", campaign_id="s", advertiser_id="globex")])
    assert [refused.index for refused in caught.value.refused] == [1]


def test_an_ad_that_breaks_a_rule_stores_nothing_of_the_batch(registry: Registry) -> None:
    with pytest.raises(InvalidValueError, match="landing_url"):
        registry.upsert_ads([ad("a"), ad("b", landing_url="ftp://acme.example/")])
    assert registry.count_ads() == 0


def test_unknown_advertisers_and_campaigns_are_created(registry: Registry) -> None:
    registry.upsert_ads([ad("a", campaign_id="spring"), ad("b", advertiser_id="globex"), ad("c", campaign_id="autumn")])
    assert registry.advertisers("", 10) == [Advertiser("acme", ""), Advertiser("globex", "")]
    assert registry.campaigns(None, "", 10) == [Campaign("autumn", "acme", ""), Campaign("spring", "acme", "")]
    assert registry.campaigns("globex", "", 10) == []


def test_pages_go_on_behind_the_last_id(registry: Registry) -> None:
    registry.upsert_ads([ad(f"ad_{number}", advertiser_id=f"x{number % 2}") for number in range(7)])
    assert [found.ad_id for found in registry.ads(None, "ad_2", 3)] == ["ad_3", "ad_4", "ad_5"]
    assert [found.ad_id for found in registry.ads("x0", "ad_0", 10)] == ["ad_2", "ad_4", "ad_6"]
    assert registry.ads(None, "ad_6", 3) == []
    assert registry.advertisers("x0", 5) == [Advertiser("x1", "")]


def test_a_search_finds_ads_by_a_part_of_id_name_or_campaign_whatever_the_case(registry: Registry) -> None:
    ads = [ad("ad_1", name="Blue SHOES"), ad("shoes_2"), ad("ad_3", campaign_id="winter-shoes"), ad("ad_4")]
    registry.upsert_ads([*ads, ad("foreign_shoes", advertiser_id="globex")])
    assert [found.ad_id for found in registry.search_ads("acme", "Shoes", "", 9).ads] == ["ad_1", "ad_3", "shoes_2"]
    assert registry.search_ads("acme", "shoes", "ad_1", 1) == FoundAds([ads[2]], "ad_3")
    assert registry.search_ads("acme", "shoes", "ad_3", 1) == FoundAds([ads[1]], None)
    assert len(registry.search_ads(None, "shoes", "", 9).ads) == 4


@pytest.mark.parametrize("text", ["%", "_", "/", "\\", "'", '"', "*", "é"])
def test_a_search_takes_every_character_for_itself(registry: Registry, text: str) -> None:
    registry.upsert_ads([ad("a-1", name="plain"), ad("a-2", name=f"with {text} inside")])
    assert [found.ad_id for found in registry.search_ads("acme", text, "", 9).ads] == ["a-2"]


def test_a_search_looks_at_a_bounded_number_of_ads_and_says_where_to_go_on(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adtally.registry.sql.SEARCH_ROWS_MAX", 3)
    registry.upsert_ads([ad(f"ad_{number}", name="wanted" if number in {4, 6} else "") for number in range(7)])
    assert registry.search_ads(None, "wanted", "", 9) == FoundAds([], "ad_2")
    found = registry.search_ads(None, "wanted", "ad_2", 9)
    assert ([one.ad_id for one in found.ads], found.next) == (["ad_4"], "ad_5")
    found = registry.search_ads(None, "wanted", "ad_5", 9)
    assert ([one.ad_id for one in found.ads], found.next) == (["ad_6"], None)


def test_all_ads_are_streamed_by_id(registry: Registry) -> None:
    registry.upsert_ads([ad(f"ad_{number:05}") for number in reversed(range(10_001))])
    assert [found.ad_id for found in registry.all_ads()] == [f"ad_{number:05}" for number in range(10_001)]


def test_an_unknown_ad_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="'nope'"):
        registry.ad("nope")


def test_ids_are_compared_byte_by_byte(registry: Registry) -> None:
    registry.upsert_ads([ad("A"), ad("a"), ad("a "), ad("%"), ad("é"), ad("e\u0301")])
    assert registry.count_ads() == 6
    assert registry.ad("a ") == ad("a ")


def test_an_empty_batch_changes_nothing(registry: Registry) -> None:
    assert registry.upsert_ads([]) == UpsertResult(0, 0, 0)


def test_a_key_is_found_by_its_secret_alone(registry: Registry, reopen: Opened) -> None:
    registry.upsert_ads([ad("a")])
    new, admin = registry.create_key("acme", 1_000), registry.create_key(None, 2_000)
    found = reopen().find_key(new.key, 9_000)
    assert found is not None
    assert (found.key_id, found.advertiser_id, found.created_ms, found.revoked_ms) == (new.key_id, "acme", 1_000, None)
    assert registry.keys()[0] == found
    assert registry.keys()[1].advertiser_id is None
    assert registry.find_key(admin.key, 9_000) == registry.keys()[1]
    assert new.key.startswith(found.prefix)


def test_a_wrong_secret_finds_no_key(registry: Registry) -> None:
    key = registry.create_key(None, 1).key
    for wrong in ("", "adt_live_", key[:-1], key + "x", key.swapcase(), "é" * len(key)):
        assert registry.find_key(wrong, 1) is None


def test_knowing_the_public_part_of_a_key_is_not_enough(registry: Registry) -> None:
    new = registry.create_key(None, 1)
    body = new.key_id + "0" * (keys.RANDOM_CHARACTERS - len(new.key_id))
    forged = keys.SCHEME + body + keys._checksum(body)
    assert keys.key_id_of(forged) == new.key_id
    assert registry.find_key(forged, 1) is None


def test_a_revoked_key_is_listed_but_opens_nothing(registry: Registry) -> None:
    new = registry.create_key(None, 1)
    revoked = registry.revoke_key(new.key_id, 5)
    assert revoked.revoked_ms == 5
    assert registry.find_key(new.key, 6) is None
    assert registry.revoke_key(new.key_id, 9).revoked_ms == 5
    assert registry.keys() == [revoked]


def test_a_revoked_key_is_not_valid_by_its_id_either(registry: Registry) -> None:
    new = registry.create_key(None, 1)
    assert registry.valid_key(new.key_id, 2) == registry.keys()[0]
    registry.revoke_key(new.key_id, 5)
    assert registry.valid_key(new.key_id, 6) is None
    assert registry.valid_key("zzz", 6) is None


def test_a_key_opens_nothing_from_its_expiry_on(registry: Registry) -> None:
    registry.upsert_ads([ad("a")])
    new = registry.create_key("acme", 1_000, 5_000)
    assert new.expires_ms == 5_000
    assert registry.find_key(new.key, 4_999) == registry.valid_key(new.key_id, 4_999) == registry.keys()[0]
    assert registry.find_key(new.key, 5_000) is None
    assert registry.valid_key(new.key_id, 5_000) is None
    assert registry.keys()[0].expires_ms == 5_000


@pytest.mark.parametrize("expires_ms", [0, 999, 1_000, 2**63, 253_402_300_800_000])
def test_a_key_that_would_end_before_it_begins_or_never_is_refused(registry: Registry, expires_ms: int) -> None:
    with pytest.raises(InvalidValueError, match="expires_ms"):
        registry.create_key(None, 1_000, expires_ms)
    assert registry.keys() == []


def test_scope_follows_from_whose_key_it_is(registry: Registry) -> None:
    registry.upsert_ads([ad("a")])
    made = [registry.create_key("acme", 1), registry.create_key(None, 2)]
    listed = registry.keys()
    assert [key.scope for key in made] == [key.scope for key in listed] == ["read", "admin"]


def test_the_last_use_of_a_key_is_noted_and_never_goes_back(registry: Registry) -> None:
    new, other = registry.create_key(None, 1), registry.create_key(None, 2)
    registry.note_uses({})
    registry.note_uses({new.key_id: 50, "unknown": 60})
    registry.note_uses({new.key_id: 40})
    listed = registry.keys()
    assert {key.key_id: key.used_ms for key in listed} == {new.key_id: 50, other.key_id: None}


def test_keys_for_unknown_advertisers_and_unknown_keys_are_not_found(registry: Registry) -> None:
    with pytest.raises(NotFoundError, match="'nobody'"):
        registry.create_key("nobody", 1)
    with pytest.raises(NotFoundError, match="'zzz'"):
        registry.revoke_key("zzz", 1)


def test_ping_answers(registry: Registry) -> None:
    registry.ping()


def test_writers_at_the_same_time_lose_nothing(registry: Registry, reopen: Opened) -> None:
    others = [reopen() for _ in range(3)]
    begin = Barrier(len(others))
    errors: list[Exception] = []

    def write(number: int) -> None:
        begin.wait()
        try:
            for batch in range(10):
                others[number].upsert_ads([ad(f"ad_{number}_{batch}_{index}", campaign_id="c") for index in range(20)])
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=write, args=(number,)) for number in range(len(others))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert registry.count_ads() == 3 * 10 * 20
