"""What the page does with more than it usually gets."""

from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from adtally.clock import SYSTEM_CLOCK
from browser.fake_api import FakeApi
from browser.fake_clicks import FakeAd
from browser.visit import Visit

MINUTES = 10_000
"""As many as the API answers at once: a week less some."""


def test_ten_thousand_minutes_are_drawn_read_with_the_keys_and_listed_bit_by_bit(visit: Visit) -> None:
    end = datetime.fromtimestamp(SYSTEM_CLOCK.now_ms() // 3_600_000 * 3_600, UTC)
    first, last = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (end - timedelta(minutes=MINUTES), end))
    page = visit.open(f"?range=custom&from={first}&to={last}&grain=minute&zone=UTC")
    chart = page.get_by_role("slider")
    expect(chart).to_have_attribute("aria-valuemax", str(MINUTES - 1))
    chart.focus()
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("aria-valuenow", "0")
    page.keyboard.press("ArrowRight")
    expect(chart).to_have_attribute("aria-valuenow", "1")
    page.get_by_role("button", name="Table").click()
    rows = page.locator(".activity tbody tr")
    expect(rows).to_have_count(500)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(1_000)
    page.get_by_role("button", name="Chart").click()
    expect(chart).to_be_visible()


def test_a_full_list_of_ads_is_searched_beyond_its_last_row(fake: FakeApi, visit: Visit) -> None:
    now_ms = SYSTEM_CLOCK.now_ms()
    fake.clicks.ads += [FakeAd(f"ad_x{number:04}", f"Winter boots {number}") for number in range(350)]
    for number in range(120):
        fake.click_at(f"ad_x{number:04}", "reader", now_ms)
    page = visit.open()
    table = page.get_by_role("region", name="Top ads")
    expect(table.locator("tbody tr[aria-hidden]")).to_have_count(0)
    table.get_by_role("searchbox").fill("boots 333")
    expect(table.locator("tbody tr")).to_have_count(1)
    expect(table.locator("tbody td").first).to_have_text("\N{EN DASH}")
    table.get_by_role("button", name="Winter boots 333").click()
    expect(page.get_by_role("combobox", name="Ad")).to_have_value("Winter boots 333")
