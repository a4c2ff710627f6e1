import pytest

from adtally.errors import InvalidValueError
from adtally.registry.port import Ad
from adtally.registry.rules import LANDING_URL_BYTES_MAX, MACROS, check_ad, check_id, check_landing_url


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "HTTPS://A.Example:8443/p/a;b=1?q=%7Bx%7D&r=[1]|2^3`#top",
        "https://xn--bcher-kva.example/",
        "http://127.0.0.1:80/",
        "http://[2001:db8::1]:8080/x",
        "https://under_score.example?x=1",
        "https://a.example#f",
        "https://a.example/@user:name/",
        "https://a.example/?c={click_id}&a={ad_id}&k={campaign_id}&i={impression_id}&t={ts}",
        "https://a.example/{ad_id}/{ad_id}#{ts}",
        "https://a.example/" + "x" * (LANDING_URL_BYTES_MAX - 18),
    ],
)
def test_a_landing_url_is_taken(url: str) -> None:
    check_landing_url(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is empty"),
        ("/relative", "neither http"),
        ("javascript:alert(1)", "neither http"),
        ("ftp://a.example/", "neither http"),
        ("//a.example/", "neither http"),
        ("http:/a.example", "neither http"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://:80/", "no host"),
        ("https://?x", "no host"),
        ("https://u@a.example/", "credentials"),
        ("https://u:p@a.example/", "credentials"),
        ("https://a.example:80:80/", "no host"),
        ("https://a.example:99999/", "no port"),
        ("https://a.example:8x/", "no host"),
        ("https://-a.example/", "no host"),
        ("https://a%2eexample/", "no host"),
        ("https://[::zz]/", "no host"),
        ("https://[1:2]/", "no IPv6"),
        ("https://a.example/\r\nSet-Cookie: x", "control character"),
        ("https://a.example/\x00", "control character"),
        ("https://a.example/\x85", "control character"),
        ("https://a.example/a b", "percent-encode"),
        ("https://a.example\\@evil.example/", "percent-encode"),
        ('https://a.example/"', "percent-encode"),
        ("https://a.example/<x>", "percent-encode"),
        ("https://a.example/caf\u00e9", "percent-encode"),
        ("https://b\u00fccher.example/", "punycode"),
        ("https://a.example/\udcff", "percent-encode"),
        ("https://a.example/?x={lpurl}", "{lpurl} is no macro"),
        ("https://a.example/?x={}", "{} is no macro"),
        ("https://a.example/?x={ad_id", "{ is no macro"),
        ("https://a.example/?x=ad_id}", "} is no macro"),
        ("https://a.example/?x={{ad_id}}", "{} is no macro"),
        ("https://a.example/?x={AD_ID}", "{AD_ID} is no macro"),
        ("https://{ad_id}.example/", "brace in its host"),
        ("https://a.example:{ts}/", "brace in its host"),
        ("{ad_id}://a.example/", "neither http"),
        ("https://a.example/" + "x" * (LANDING_URL_BYTES_MAX - 17), "at most 2048"),
    ],
)
def test_a_landing_url_is_refused_with_its_reason(url: str, reason: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_landing_url(url)
    assert caught.value.field == "landing_url"
    assert reason in caught.value.reason


def test_credentials_are_not_repeated_in_the_message() -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_landing_url("https://user:secret@a.example/")
    assert "secret" not in str(caught.value)


def test_the_macros_are_those_of_the_contract() -> None:
    assert set(MACROS) == {"{click_id}", "{ad_id}", "{campaign_id}", "{impression_id}", "{ts}"}


@pytest.mark.parametrize("value", ["a", "a" * 128, "\u00e9" * 64, "a b/c?", "\U0001f45f", "%00"])
def test_an_id_is_taken(value: str) -> None:
    check_id("ad_id", value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "is empty"),
        ("a" * 129, "129 bytes"),
        ("\u00e9" * 65, "130 bytes"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("\x9f", "control"),
        ("\udcff", "UTF-8"),
    ],
)
def test_an_id_is_refused_with_its_reason(value: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason) as caught:
        check_id("user_id", value)
    assert caught.value.field == "user_id"


@pytest.mark.parametrize(
    ("ad", "field"),
    [
        (Ad("", "x", "https://a.example/"), "ad_id"),
        (Ad("a", "", "https://a.example/"), "advertiser_id"),
        (Ad("a", "x", ""), "landing_url"),
        (Ad("a", "x", "https://a.example/", campaign_id="\x01"), "campaign_id"),
        (Ad("a", "x", "https://a.example/", name="n" * 257), "name"),
        (Ad("a", "x", "https://a.example/", status="on"), "status"),  # type: ignore[arg-type]
    ],
)
def test_an_ad_is_refused_by_the_name_of_its_wrong_field(ad: Ad, field: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_ad(ad)
    assert caught.value.field == field
