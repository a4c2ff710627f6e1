"""Everything that a key sees, and what a filter leaves of it."""

import pytest
from playwright.sync_api import Page, expect

from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS
from browser.fake_api import FakeApi
from browser.fake_clicks import FakeAd
from browser.visit import Visit


@pytest.fixture
def busy(fake: FakeApi) -> FakeApi:
    """Two advertisers, three devices: 20 clicks of ad_spring are there already, and 10 more come in here."""
    now_ms = SYSTEM_CLOCK.now_ms()
    for number in range(10):
        device = "mobile" if number < 7 else "tablet"
        fake.click_at(f"ad_{1 + number % 3:03}", f"user{number}", now_ms - number * MINUTE_MS, device)
    return fake


def clicks(page: Page, value: int) -> None:
    expect(page.locator(".figure", has_text="Clicks").locator("dd").first).to_have_text(str(value))


def test_without_a_filter_everything_that_the_key_sees_is_there(busy: FakeApi, visit: Visit) -> None:
    page = visit.open()
    clicks(page, 30)
    for title in ("Top ads", "Top campaigns", "Devices", "Top advertisers"):
        expect(page.get_by_role("region", name=title).first).to_be_visible()
    expect(page.locator(".top-table", has_text="Top ads").locator("tbody tr")).to_have_count(4)


def test_a_click_on_a_row_filters_everything_and_back_undoes_it(busy: FakeApi, visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="autumn-2026").click()
    clicks(page, 10)
    assert "campaign=autumn-2026" in page.url
    page.get_by_role("button", name="tablet").click()
    clicks(page, 3)
    expect(page.locator(".top-table", has_text="Top ads").locator("tbody tr")).to_have_count(3)
    page.go_back()
    clicks(page, 10)
    page.go_back()
    clicks(page, 30)
    expect(page.get_by_role("list", name="Filters")).to_have_count(0)


def test_a_chip_ends_its_filter_and_no_other(busy: FakeApi, visit: Visit) -> None:
    page = visit.open("?campaign=autumn-2026&device=tablet")
    clicks(page, 3)
    page.get_by_role("button", name="Remove filter Device: tablet").click()
    clicks(page, 10)
    expect(page.get_by_role("button", name="Remove filter Campaign: autumn-2026")).to_be_visible()


def test_an_ad_is_opened_from_the_table_and_shows_what_is_known_of_it(busy: FakeApi, visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="Autumn coats 1", exact=True).click()
    clicks(page, 4)
    expect(page.get_by_role("combobox", name="Ad")).to_have_value("Autumn coats 1")
    expect(page.get_by_role("region", name="This ad")).to_contain_text("borea")


def test_the_search_in_a_table_finds_by_name_and_by_id(busy: FakeApi, visit: Visit) -> None:
    page = visit.open()
    rows = page.locator(".top-table", has_text="Top ads").locator("tbody tr")
    expect(rows).to_have_count(4)
    search = page.get_by_role("searchbox", name="Search in top ads")
    search.fill("COATS 2")
    expect(rows).to_have_count(1)
    search.fill("ad_spring")
    expect(rows).to_contain_text("Spring sale")
    search.fill("nothing")
    expect(page.get_by_text("Nothing among these matches")).to_be_visible()


def test_an_advertiser_sees_no_list_of_advertisers(busy: FakeApi, visit: Visit) -> None:
    busy.admin = False
    page = visit.open()
    clicks(page, 30)
    expect(page.get_by_role("button", name="autumn-2026")).to_be_visible()
    expect(page.get_by_text("Top advertisers")).to_have_count(0)
    expect(page.get_by_role("navigation", name="Pages")).to_have_count(0)


def test_a_server_without_comparison_and_lists_leaves_the_numbers(busy: FakeApi, visit: Visit) -> None:
    visit.refusals_expected.add(404)
    busy.missing = {"/v1/compare", "/v1/top"}
    page = visit.open()
    clicks(page, 30)
    expect(page.locator(".top-table")).to_have_count(0)


def test_ads_without_a_campaign_can_be_chosen_and_the_address_keeps_it(busy: FakeApi, visit: Visit) -> None:
    busy.clicks.ads.append(FakeAd("ad_alone", "Alone", ""))
    busy.click("ad_alone", "somebody")
    page = visit.open()
    page.get_by_role("button", name="No campaign").click()
    clicks(page, 1)
    assert "campaign=" in page.url
    page.reload()
    clicks(page, 1)
    page.get_by_role("button", name="Remove filter Campaign: none").click()
    clicks(page, 31)
