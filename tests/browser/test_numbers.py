import pytest
from playwright.sync_api import expect

from adtally.clock import SYSTEM_CLOCK
from adtally.counting import MINUTE_MS, minute_of
from browser.fake_api import FakeApi
from browser.visit import Visit


def test_the_numbers_move_after_a_click(visit: Visit) -> None:
    visit.open()
    page = visit.page
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    clicks = int(visit.figure("Clicks"))
    users = int(visit.figure("Unique users"))
    visit.system.click(visit.system.ads[0].ad_id, "newcomer")
    expect(page.locator(".figure", has_text="Clicks").locator("dd").first).to_have_text(str(clicks + 1))
    expect(page.locator(".figure", has_text="Unique users").locator("dd").first).to_have_text(str(users + 1))


def test_the_quality_panel_accounts_for_every_request(fake: FakeApi, visit: Visit) -> None:
    page = visit.open("?ad=ad_spring")
    panel = page.get_by_role("region", name="What became of every request")
    expect(panel).to_contain_text("25 received")
    expect(panel.locator("dl > div")).to_contain_text(["Counted as clicks", "Duplicates", "Bots and crawlers"])
    expect(panel.locator("dl > div").first).to_contain_text("80%")


def test_an_ad_without_clicks_shows_the_command_that_makes_one(visit: Visit) -> None:
    quiet = visit.system.ads[1].ad_id
    page = visit.open(f"?ad={quiet}")
    expect(page.get_by_text("No clicks in the last hour")).to_be_visible()
    command = f"curl -i -A Mozilla/5.0 '{visit.system.click_url}/click?ad_id={quiet}&user_id=alice'"
    expect(page.locator("pre")).to_have_text(command)
    visit.system.click(quiet, "alice")
    expect(page.get_by_role("slider")).to_be_visible()
    expect(page.locator("pre")).to_have_count(0)


def test_a_key_without_ads_is_told_how_to_import_some_and_then_sees_them(fake: FakeApi, visit: Visit) -> None:
    ads, fake.clicks.ads = fake.clicks.ads, []
    page = visit.open()
    expect(page.get_by_text("adtally ads import ads.csv")).to_be_visible()
    fake.clicks.ads = ads
    expect(page.get_by_role("slider")).to_be_visible()


def test_an_unknown_ad_is_named_and_another_can_be_chosen(visit: Visit) -> None:
    visit.refusals_expected.add(404)
    page = visit.open("?ad=ad_typo")
    expect(page.get_by_role("alert")).to_contain_text("No ad “ad_typo”")
    picker = page.get_by_role("combobox", name="Ad")
    picker.click()
    picker.fill(visit.system.ads[0].name)
    picker.press("Enter")
    expect(page.get_by_role("slider")).to_be_visible()


def test_final_minutes_are_marked_and_the_page_says_up_to_when(fake: FakeApi, visit: Visit) -> None:
    final_ms = minute_of(SYSTEM_CLOCK.now_ms()) - 10 * MINUTE_MS
    page = visit.open("?ad=ad_spring&range=15m&view=table")
    rows = page.locator(".activity tbody tr")
    expect(rows.first).to_contain_text("running")
    expect(page.locator(".badge", has_text="final")).to_have_count(0)
    fake.clicks.final_through_ms = final_ms
    expect(rows.last).to_contain_text("final")
    expect(page.locator(".activity .foot")).to_contain_text("Numbers are final up to")
    assert "final" not in rows.first.inner_text()


FETCHES = """
const ask = window.fetch;
let underway = 0, most = 0;
const note = () => Object.assign(document.documentElement.dataset, { underway, most });
window.fetch = (address, ...rest) => {
  if (!String(address).startsWith("PATH")) return ask(address, ...rest);
  underway += 1;
  most = Math.max(most, underway);
  note();
  return ask(address, ...rest).finally(() => { underway -= 1; note(); });
};
"""
"""Counts what the page asks for at PATH: how many questions have no answer, and how many had none at most."""


def test_requests_of_one_kind_never_overlap(fake: FakeApi, visit: Visit) -> None:
    # Slower than the interval. Counted in the page: the browser itself lets equal requests wait for each other.
    fake.delay_s = 1.2
    visit.page.add_init_script(FETCHES.replace("PATH", "/metrics"))
    page = visit.open("?ad=ad_spring&range=15m")
    for _ in range(3):
        with page.expect_response(lambda response: "/metrics" in response.url):
            pass
    assert page.locator("html").get_attribute("data-most") == "1"


def test_a_hidden_tab_asks_nothing_and_a_shown_one_at_once(visit: Visit) -> None:
    page = visit.page
    page.add_init_script(FETCHES.replace("PATH", "/"))
    page.clock.install()
    visit.open("?ad=ad_spring")
    expect(page.get_by_text("Live, numbers as of")).to_be_visible()
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, arg=True)
    expect(page.locator("html")).to_have_attribute("data-underway", "0")
    before = len(visit.requests)
    page.clock.run_for(60_000)
    assert len(visit.requests) == before
    with page.expect_request(lambda request: "/metrics" in request.url):
        page.evaluate(hide, arg=False)


@pytest.mark.parametrize("ahead_ms", [3 * 3_600_000, 3 * 365 * 86_400_000], ids=["3 hours", "3 years"])
def test_a_reader_whose_clock_is_wrong_sees_the_right_numbers_at_once(visit: Visit, ahead_ms: int) -> None:
    # The API refuses a question about the far future.
    visit.refusals_expected.add(400)
    visit.page.clock.install(time=(SYSTEM_CLOCK.now_ms() + ahead_ms) / 1000)
    visit.open(f"?ad={visit.system.ads[0].ad_id}")
    expect(visit.page.get_by_text("Live, numbers as of")).to_be_visible()
    assert visit.figure("Clicks") != "0"
