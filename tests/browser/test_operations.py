"""What an operator sees: health, the ledger, dead letters."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from browser.conftest import OpenVisit
from browser.fake_api import FakeApi
from browser.test_accessibility import findings
from browser.visit import Visit


def test_an_admin_finds_the_operators_view_and_a_part_that_is_ill_is_named(fake: FakeApi, visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="Operations").click()
    store = page.locator(".health li", has_text="Store")
    expect(store).to_contain_text("Well")
    fake.operator.broken = "the store does not open: disk full"
    expect(store).to_contain_text("Needs attention")
    expect(store).to_contain_text("disk full")
    expect(page.locator(".letters .large")).to_have_text("3")
    page.go_back()
    expect(page.get_by_role("slider")).to_be_visible()


def test_an_hour_of_the_ledger_shows_live_against_final_and_what_changed(visit: Visit) -> None:
    page = visit.open("?page=operations")
    rows = page.locator(".ledger tbody tr")
    expect(rows).to_have_count(25)
    rows.nth(1).get_by_role("button").click()
    panel = page.locator(".hour")
    expect(panel).to_contain_text("(+3)")
    expect(panel).to_contain_text("final, revision 2")
    expect(panel.locator("tbody tr")).to_have_count(2)
    assert "hour=" in page.url
    page.reload()
    expect(panel).to_contain_text("(+3)")
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)


def test_the_hours_of_the_ledger_go_as_far_back_as_one_chooses(fake: FakeApi, visit: Visit) -> None:
    page = visit.open("?page=operations")
    expect(page.locator(".ledger tbody tr")).to_have_count(25)
    with page.expect_request(lambda request: urlsplit(request.url).path == "/v1/ledger") as asked:
        page.get_by_role("combobox", name="Hours of").select_option("Last day")
    start = parse_qs(urlsplit(asked.value.url).query)["start"][0]
    # The page's hour, in case that another one has begun since the ledger's newest.
    shown = [line for line in fake.operator.lines() if line["hour"] >= start]
    assert len(shown) in (23, 24)
    expect(page.locator(".ledger tbody tr")).to_have_count(len(shown))


def test_all_numbers_that_a_correction_changed_are_shown_bit_by_bit(fake: FakeApi, visit: Visit) -> None:
    fake.operator.more = 5
    page = visit.open("?page=operations")
    page.locator(".ledger tbody button").nth(1).click()
    keys = page.locator(".hour tbody tr")
    more = page.locator(".hour").get_by_role("button", name="Show more")
    expect(keys).to_have_count(3)
    more.click()
    expect(keys).to_have_count(6)
    more.click()
    expect(keys).to_have_count(7)
    expect(more).to_have_count(0)
    assert len(set(keys.locator("th").all_inner_texts())) == 7


def test_an_advertiser_has_no_operators_view_whatever_the_address_says(fake: FakeApi, visit: Visit) -> None:
    fake.admin = False
    page = visit.open("?page=operations")
    expect(page.get_by_role("heading", name="Clicks of all ads")).to_be_attached()
    expect(page.get_by_role("slider")).to_be_visible()
    assert "/v1/status" not in fake.asked


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_the_operators_view(fake: FakeApi, visits: OpenVisit, dark: bool) -> None:
    fake.operator.more = 5
    page = visits(dark=dark, bypass_csp=True).open("?page=operations")
    page.locator(".ledger tbody button").nth(1).click()
    expect(page.locator(".hour").get_by_role("button", name="Show more")).to_be_visible()
    expect(page.locator(".letters .large")).to_have_text("3")
    assert findings(page) == []


def test_a_phone_shows_the_operators_view_without_scrolling_sideways(visits: OpenVisit) -> None:
    page = visits(phone=True).open("?page=operations")
    page.locator(".ledger tbody button").nth(1).click()
    expect(page.locator(".hour tbody tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
